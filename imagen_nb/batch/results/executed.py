"""One job run by papermill, and what its executed notebook says of it."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.jobs.notebook import Template
from imagen_nb.batch.results.scraps import glued_pictures
from imagen_nb.system.thumbnails import encode_webp

if TYPE_CHECKING:
    from nbformat import NotebookNode

DONE, FAILED = "done", "failed"
WARM_ENGINE = "imagen-warm"
THUMBNAILS_PER_JOB, JOB_THUMBNAIL_PIXELS = (
    4,
    160,
)  # pictures of a job on the batch's page, and the pixels of their longer side
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
_MAX_ERROR_CHARS = 300  # letters of an error in a table


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How a batch's notebooks are run. `timeout`: seconds for a whole notebook."""

    template: Template
    engine: str | None = WARM_ENGINE
    timeout: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the engine

    def written(self) -> dict[str, Any]:
        """It as JSON values, to send to who runs the jobs; they are checked already."""
        return asdict(replace(self, template=replace(self.template, parameters=())))

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> ExecutionOptions:
        """What was sent."""
        return cls(**{**said, "template": Template(**said["template"])})


@dataclass(frozen=True, slots=True)
class ExecutedNotebook:
    """An executed notebook as text, and its first pictures, small, as WebP in base64, by id.

    `pending`: how many pictures wait for the cloud on the machine that made them.
    """

    notebook: str
    pending: int = 0
    thumbnails: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job. `seconds`: it took; `pictures`: id and path of each."""

    job: str
    key: str
    status: str
    error: str | None = None
    seconds: float | None = None
    pictures: tuple[tuple[str, str], ...] = ()


def run_job(job: Job, way: ExecutionOptions) -> ExecutedNotebook:
    """Run a job. Its notebook is kept whatever comes: of one that failed, with the traceback."""
    notebook = _parameterized_notebook(job, way)
    _execute_notebook(notebook, way)
    text = _finished_text(notebook, job)
    return ExecutedNotebook(
        text,
        thumbnails={
            id: small
            for id, path in _first_pictures(text)
            if (small := _thumbnail_base64(path))
        },
    )


def make_failed_notebook(job: Job, way: ExecutionOptions, why: str) -> ExecutedNotebook:
    """The notebook of a job that nobody could run to its end, which says so."""
    notebook = _parameterized_notebook(job, way)
    for cell in notebook.cells:
        cell.metadata.setdefault("papermill", {})
    notebook.metadata.papermill["duration"] = None
    _record_error(notebook, "BatchError", why)
    return ExecutedNotebook(_finished_text(notebook, job))


def _parameterized_notebook(job: Job, way: ExecutionOptions) -> NotebookNode:
    from papermill.parameterize import parameterize_notebook

    notebook = parameterize_notebook(
        way.template.fresh(), job.parameters, engine_name=way.engine
    )
    names = {"input_path": way.template.name, "output_path": f"{job.name}.ipynb"}
    notebook.metadata.papermill = {**notebook.metadata.papermill, **names}
    return notebook


def _finished_text(notebook: NotebookNode, job: Job) -> str:
    """The notebook as text, with what became of it in its metadata."""
    import nbformat
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import raise_for_execution_errors

    error = None
    try:
        raise_for_execution_errors(
            notebook, None
        )  # puts a note with a link above it all
    except PapermillExecutionError as raised:
        error = _error_line(f"{raised.ename}: {raised.evalue}")
    notebook.metadata["imagen"] = {
        "job": job.name, "key": job.key, "status": FAILED if error else DONE, "error": error,
    }  # fmt: skip
    text: str = nbformat.writes(notebook)
    return text


def _execute_notebook(notebook: NotebookNode, way: ExecutionOptions) -> None:
    """Run it by the engine. What ends it from outside is written where it had come to."""
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import papermill_engines

    options = dict(way.options)
    if way.timeout is not None:
        key = "job_timeout" if way.engine == WARM_ENGINE else "execution_timeout"
        options[key] = way.timeout
    try:
        papermill_engines.execute_notebook_with_engine(
            way.engine, notebook, papermill_engines.nb_kernel_name(way.engine, notebook, None),
            output_path=None, progress_bar=False, **options,
        )  # fmt: skip
    except (
        DeadKernelError,
        TimeoutError,
        RuntimeError,
    ) as error:  # nbclient's are of these
        _record_error(notebook, type(error).__name__, str(error))


def _record_error(notebook: NotebookNode, name: str, why: str) -> None:
    """Put an error that no cell raised into the cell that was running."""
    from nbformat.v4 import new_output

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = [cell for cell in code if cell.metadata.papermill.get("start_time")]
    cell = (started or code)[-1 if started else 0]
    if any(output.output_type == "error" for output in cell.outputs):
        return
    line = _error_line(why)
    cell.outputs.append(new_output("error", ename=name, evalue=line, traceback=[line]))
    cell.metadata.papermill |= {"exception": True, "status": "failed"}
    notebook.metadata.papermill["exception"] = True


def _first_pictures(text: str) -> Iterable[tuple[str, str]]:
    """The first pictures of an executed notebook: id and path."""
    return itertools.islice(glued_pictures(json.loads(text)), THUMBNAILS_PER_JOB)


def _thumbnail_base64(path: str) -> str:
    """The picture as a page shows it; empty when it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return base64.b64encode(encode_webp(image, JOB_THUMBNAIL_PIXELS)).decode()
    except (OSError, SyntaxError):  # what Pillow raises of files that are gone or torn
        return ""


def _error_line(text: str) -> str:
    """An error for a table: one line, without the colours of tracebacks."""
    line = " ".join(_COLOUR_CODES.sub("", text).split())
    return line if len(line) <= _MAX_ERROR_CHARS else f"{line[: _MAX_ERROR_CHARS - 1]}…"


def outcome_of_notebook(text: str | bytes) -> Outcome | None:
    """What an executed notebook says became of its job; None for one that no batch ran whole."""
    try:
        notebook = json.loads(text)
        said = notebook["metadata"]["imagen"]
        return Outcome(
            said["job"], said["key"], said["status"], said["error"],
            notebook["metadata"]["papermill"]["duration"], tuple(glued_pictures(notebook)),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
