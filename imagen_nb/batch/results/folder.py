"""A batch's folder: executed notebooks, the results table, batch.json and the page.

The executed notebooks may be at a URL that fsspec knows instead.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from filelock import FileLock, Timeout

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import (
    ExecutedNotebook,
    Outcome,
    outcome_of_notebook,
)
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    make_folder,
    remove_stale_files,
    write_atomically,
)
from imagen_nb.system.csv_text import frame_as_csv
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    import pandas as pd

NOT_RUN = "not run"
RESULT_COLUMNS = (
    "job",
    "status",
    "error",
    "duration_s",
    "picture_ids",
    "paths",
    "notebook",
)
_LOCK_NAME = ".imagen-batch.lock"
_LOCK_TIMEOUT_S = 5.0  # in which the workers of a batch that died end


class NotebookStore(Protocol):
    """Where executed notebooks are kept. Invariant: one that has its name is whole."""

    def read(self, name: str) -> bytes | None:
        """Return an executed notebook; None if there is none of this name."""

    def write(self, name: str, text: str) -> None:
        """Keep one, replacing what had its name.

        Raises `StorageError` if it cannot be written.
        """

    def link(self, name: str) -> str:
        """Return its path from the batch's folder, or its URL."""


class LocalNotebooks:
    """Notebooks in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """See `NotebookStore`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """See `NotebookStore`."""
        with explain_folder_errors(self._folder):
            write_atomically(self._folder / name, text.encode())
            flush_folder(self._folder)

    def link(self, name: str) -> str:
        """See `NotebookStore`."""
        return name


class RemoteNotebooks:
    """Notebooks at a URL of fsspec's, such as s3://bucket/folder."""

    def __init__(self, url: str) -> None:
        """Raise `UsageError` if fsspec cannot open the URL, or its package is missing.

        Errors of the package itself, such as those of S3, are passed on.
        """
        from fsspec.core import url_to_fs

        try:
            self._filesystem, self._path = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"notebooks cannot be kept at {url!r}: {error}") from None
        self._url = url.rstrip("/")

    def read(self, name: str) -> bytes | None:
        """See `NotebookStore`."""
        try:
            data: bytes = self._filesystem.cat_file(f"{self._path}/{name}")
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, text: str) -> None:
        """See `NotebookStore`; all or nothing where the service has transactions."""
        files: Any = self._filesystem
        try:
            files.makedirs(self._path, exist_ok=True)
            with files.transaction, files.open(f"{self._path}/{name}", "wb") as file:
                file.write(text.encode())
        except OSError as error:
            raise StorageError(f"cannot keep {name} at {self._url}: {error}") from error

    def link(self, name: str) -> str:
        """See `NotebookStore`."""
        return f"{self._url}/{name}"


class BatchFolder:
    """Where a batch writes. Invariant: a notebook that has its name is whole."""

    def __init__(self, path: Path | str, notebooks: str | None = None) -> None:
        """Write nothing yet.

        `notebooks`: a URL at which executed notebooks are kept, instead of the folder.
        """
        self.path = absolute_path(path)
        self._notebooks: NotebookStore = LocalNotebooks(self.path)
        if notebooks:
            self._notebooks = RemoteNotebooks(notebooks)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other batches out of the folder, which is made if it is missing.

        Raises `UsageError` if another batch is running into it.
        """
        with explain_folder_errors(self.path):
            make_folder(self.path)
            lock = FileLock(self.path / _LOCK_NAME)
            try:
                lock.acquire(timeout=_LOCK_TIMEOUT_S)
            except Timeout:
                raise UsageError(
                    f"another batch is running into {self.path}: wait for it, or "
                    "choose another -o"
                ) from None
        try:
            remove_stale_files(self.path)
            yield
        finally:
            lock.release()

    def keep(self, job: Job, executed: ExecutedNotebook) -> None:
        """Write the thumbnails, then the notebook, which makes the job count as run.

        Raises `StorageError` if they cannot be written.
        """
        with explain_folder_errors(self.path):
            for id, thumbnail in executed.thumbnails.items():
                self.thumbnail(id).parent.mkdir(exist_ok=True)
                write_atomically(self.thumbnail(id), base64.b64decode(thumbnail))
        self._notebooks.write(_notebook_name(job), executed.text)

    def link(self, job: Job) -> str:
        """Return the executed notebook's path from the folder, or its URL."""
        return self._notebooks.link(_notebook_name(job))

    def thumbnail(self, id: str) -> Path:
        """Return the path of a picture's thumbnail, whether or not there is one."""
        return self.path / "thumbnails" / f"{UUID(id)}.webp"

    def outcome(self, job: Job) -> Outcome | None:
        """Return what became of the job in an earlier run.

        It is None if the job was not run, or was run with other parameters.
        """
        text = self._notebooks.read(_notebook_name(job))
        outcome = None if text is None else outcome_of_notebook(text)
        return outcome if outcome and outcome.key == job.key else None

    def frame(
        self, jobs: Sequence[Job], outcomes: Mapping[str, Outcome]
    ) -> pd.DataFrame:
        """Return the results table: one row a job in order, its parameters first.

        `duration_s` is in seconds; `picture_ids` and `paths` are lists; `notebook` is
        its path from the folder, or a URL. A parameter that has the name of another
        column is called `parameter_<name>`. A parameter of several types is text.
        """
        import pandas as pd

        columns: dict[str, Any] = {"job": [job.name for job in jobs]}
        for name in dict.fromkeys(name for job in jobs for name in job.parameters):
            column = f"parameter_{name}" if name in RESULT_COLUMNS else name
            columns[column] = _typed_column([job.parameters.get(name) for job in jobs])
        none = Outcome("", "", NOT_RUN)
        ended = [outcomes.get(job.key, none) for job in jobs]
        links = [self.link(job) if job.key in outcomes else None for job in jobs]
        columns |= {
            "status": [one.status for one in ended],
            "error": pd.array([one.error for one in ended], dtype="str"),
            "duration_s": pd.array([one.seconds for one in ended], dtype="Float64"),
            "picture_ids": [[id for id, _ in one.pictures] for one in ended],
            "paths": [[path for _, path in one.pictures] for one in ended],
            "notebook": pd.array(links, dtype="str"),
        }
        return pd.DataFrame(columns)

    def write_table(self, frame: pd.DataFrame, *, raw_csv: bool = False) -> None:
        """Write results.parquet and results.csv; lists are JSON in the latter.

        `raw_csv`: its cells as they are; else none is a formula in spreadsheets.
        """
        parquet = io.BytesIO()
        frame.to_parquet(parquet, index=False)
        plain = frame.map(
            lambda value: json.dumps(value) if isinstance(value, list) else value
        )
        with explain_folder_errors(self.path):
            write_atomically(self.path / "results.parquet", parquet.getvalue())
            text = frame_as_csv(plain, raw=raw_csv)
            write_atomically(self.path / "results.csv", text.encode())

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Write batch.json, which says what ran, and how."""
        with explain_folder_errors(self.path):
            text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
            write_atomically(self.path / "batch.json", text.encode())

    def write_page(self, page: str) -> None:
        """Write index.html."""
        with explain_folder_errors(self.path):
            write_atomically(self.path / "index.html", page.encode())


def _notebook_name(job: Job) -> str:
    return f"{job.name}.ipynb"


def _typed_column(values: Sequence[Any]) -> Any:
    """Return the values in a type that keeps them exactly.

    Whole numbers stay whole beside empty values.
    """
    import pandas as pd

    types = {type(value) for value in values if value is not None}
    dtypes = {int: "Int64", float: "Float64", bool: "boolean", str: "str"}
    if len(types) == 1:
        dtype = dtypes.get(types.pop())
        if dtype:
            return pd.array(values, dtype=dtype)  # type: ignore[call-overload]
    if all(value is None or isinstance(value, list) for value in values):
        return values
    return [
        value if value is None or isinstance(value, str) else json.dumps(value)
        for value in values
    ]
