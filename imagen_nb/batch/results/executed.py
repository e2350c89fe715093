"""Runs one job by papermill, and reads what its executed notebook records.

That is what became of the job, and the pictures that the notebook itself records in
its outputs with `glue`. Their form is that of scrapbook, papermill's companion:
`scrapbook.read_notebook(path).scraps["pictures"]` reads them, too
(https://nteract-scrapbook.readthedocs.io).
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.jobs.notebook import Template
from imagen_nb.storage.picture import Picture
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.thumbnails import encode_webp, image_read_errors

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from imagen_nb.studio.pictures import Pictures

DONE, FAILED = "done", "failed"
WARM_ENGINE = "imagen-warm"
THUMBNAILS_PER_JOB = 4  # on the batch's page
JOB_THUMBNAIL_PIXELS = 160  # the longer side
SCRAP_MIME = "application/scrapbook.scrap.json+json"
SCRAP_NAME = "pictures"
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
_MAX_ERROR_CHARS = 300  # in a table


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How a batch's notebooks are run.

    Attributes:
        template: the notebook.
        engine: papermill's engine; None for a new kernel each time.
        timeout: seconds for a whole notebook.
        engine_options: more keyword arguments of the engine.
    """

    template: Template
    engine: str | None = WARM_ENGINE
    timeout: float | None = None
    engine_options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values to send to a worker; its parameters are checked by now."""
        return asdict(replace(self, template=replace(self.template, parameters=())))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ExecutionOptions:
        """Return what `to_json` was called on."""
        return cls(**{**values, "template": Template(**values["template"])})


@dataclass(frozen=True, slots=True)
class ExecutedNotebook:
    """An executed notebook.

    Attributes:
        text: the .ipynb as JSON.
        pending: how many of its pictures wait for the cloud on the machine that drew
            them.
        thumbnails: of its first pictures, WebP in base64 by the picture's id.
    """

    text: str
    pending: int = 0
    thumbnails: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job's name.
        key: the job's key.
        status: DONE or FAILED.
        error: one line, if it failed.
        seconds: how long it took, if it was run to its end.
        pictures: id and path of each picture.
    """

    job: str
    key: str
    status: str
    error: str | None = None
    seconds: float | None = None
    pictures: tuple[tuple[str, str], ...] = ()


def run_job(job: Job, options: ExecutionOptions) -> ExecutedNotebook:
    """Run a job and return its notebook; if it failed, with the traceback."""
    notebook = _parameterized_notebook(job, options)
    _execute_notebook(notebook, options)
    text = _finished_text(notebook, job)
    thumbnails = {}
    for id, path in _first_pictures(text):
        thumbnail = _thumbnail_base64(path)
        if thumbnail:
            thumbnails[id] = thumbnail
    return ExecutedNotebook(text, thumbnails=thumbnails)


def make_failed_notebook(
    job: Job, options: ExecutionOptions, reason: str
) -> ExecutedNotebook:
    """Return the notebook of a job that no worker could run to its end."""
    notebook = _parameterized_notebook(job, options)
    for cell in notebook.cells:
        cell.metadata.setdefault("papermill", {})
    notebook.metadata.papermill["duration"] = None
    _record_error(notebook, "BatchError", reason)
    return ExecutedNotebook(_finished_text(notebook, job))


def _parameterized_notebook(job: Job, options: ExecutionOptions) -> NotebookNode:
    from papermill.parameterize import parameterize_notebook

    notebook = parameterize_notebook(
        options.template.fresh(), job.parameters, engine_name=options.engine
    )
    names = {"input_path": options.template.name, "output_path": f"{job.name}.ipynb"}
    notebook.metadata.papermill = {**notebook.metadata.papermill, **names}
    return notebook


def _finished_text(notebook: NotebookNode, job: Job) -> str:
    """Return the notebook as text, with what became of the job in its metadata."""
    import nbformat
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import raise_for_execution_errors

    error = None
    try:
        # It also puts a note with a link to the failed cell at the top.
        raise_for_execution_errors(notebook, None)
    except PapermillExecutionError as raised:
        error = _error_line(f"{raised.ename}: {raised.evalue}")
    notebook.metadata["imagen"] = {
        "job": job.name,
        "key": job.key,
        "status": FAILED if error else DONE,
        "error": error,
    }
    text: str = nbformat.writes(notebook)
    return text


def _execute_notebook(notebook: NotebookNode, options: ExecutionOptions) -> None:
    """Run it by the engine; an error that no cell raised is recorded in its cell."""
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import papermill_engines

    engine_options = dict(options.engine_options)
    if options.timeout is not None:
        is_warm = options.engine == WARM_ENGINE
        key = "job_timeout" if is_warm else "execution_timeout"
        engine_options[key] = options.timeout
    kernel = papermill_engines.nb_kernel_name(options.engine, notebook, None)
    try:
        papermill_engines.execute_notebook_with_engine(
            options.engine,
            notebook,
            kernel,
            output_path=None,
            progress_bar=False,
            **engine_options,
        )
    except (DeadKernelError, TimeoutError, RuntimeError) as error:
        # nbclient's own errors are of these types.
        _record_error(notebook, type(error).__name__, str(error))


def _record_error(notebook: NotebookNode, name: str, reason: str) -> None:
    """Put an error that no cell raised into the cell that was running."""
    from nbformat.v4 import new_output

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = [cell for cell in code if cell.metadata.papermill.get("start_time")]
    cell = started[-1] if started else code[0]
    if any(output.output_type == "error" for output in cell.outputs):
        return
    line = _error_line(reason)
    cell.outputs.append(new_output("error", ename=name, evalue=line, traceback=[line]))
    cell.metadata.papermill |= {"exception": True, "status": "failed"}
    notebook.metadata.papermill["exception"] = True


def _first_pictures(text: str) -> Iterable[tuple[str, str]]:
    """Return id and path of the first pictures of an executed notebook."""
    return itertools.islice(glued_pictures(json.loads(text)), THUMBNAILS_PER_JOB)


def _thumbnail_base64(path: str) -> str:
    """Return the picture's thumbnail; empty if the file cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return base64.b64encode(encode_webp(image, JOB_THUMBNAIL_PIXELS)).decode()
    except image_read_errors():
        return ""


def _error_line(text: str) -> str:
    """Return an error as one line for a table, without the colours of tracebacks."""
    line = " ".join(_COLOUR_CODES.sub("", text).split())
    if len(line) <= _MAX_ERROR_CHARS:
        return line
    return f"{line[: _MAX_ERROR_CHARS - 1]}…"


def outcome_of_notebook(text: str | bytes) -> Outcome | None:
    """Return the outcome that an executed notebook records; None if there is none.

    That is so for notebooks that are torn, or that no batch ran.
    """
    try:
        notebook = json.loads(text)
        recorded = notebook["metadata"]["imagen"]
        outcome = Outcome(
            recorded["job"],
            recorded["key"],
            recorded["status"],
            recorded["error"],
            notebook["metadata"]["papermill"]["duration"],
            tuple(glued_pictures(notebook)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return outcome if _is_outcome(outcome) else None


def _is_outcome(outcome: Outcome) -> bool:
    """Return whether its values are of their types: anybody may write a notebook."""
    texts = [outcome.job, outcome.key, outcome.status, outcome.error or ""]
    texts += itertools.chain.from_iterable(outcome.pictures)
    seconds = outcome.seconds
    is_number = seconds is None or isinstance(seconds, (int, float))
    return is_number and all(isinstance(text, str) for text in texts)


@known_arguments
def glue(pictures: Picture | Pictures | Iterable[Picture]) -> None:
    """Record in this notebook which pictures it drew, for `imagen batch` and papermill.

    Nothing is displayed. A notebook may call it several times; all the pictures count.

    Args:
        pictures: a Picture, Pictures, or any number of them.

    Example:
        >>> im.glue(im.generate("a red boat", seed=11))
    """
    from IPython.display import display as untyped_display

    display: Callable[..., None] = untyped_display
    many = [pictures] if isinstance(pictures, Picture) else pictures
    data = [{"id": str(one.record.id), "path": str(one.path)} for one in many]
    scrap = {"name": SCRAP_NAME, "data": data, "encoder": "json", "version": 1}
    metadata = {"scrapbook": {"name": SCRAP_NAME, "data": True, "display": False}}
    display({SCRAP_MIME: scrap}, metadata=metadata, raw=True)


def glued_pictures(notebook: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the id and path of each picture that an executed notebook records."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            scrap = output.get("data", {}).get(SCRAP_MIME)
            if scrap and scrap.get("name") == SCRAP_NAME:
                for one in scrap["data"]:
                    yield one["id"], one["path"]
