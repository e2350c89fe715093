"""A batch's folder: one executed notebook a job, the results table, what ran, and a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from filelock import FileLock, Timeout

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import (
    ExecutedNotebook,
    Outcome,
    outcome_of_notebook,
)
from imagen_nb.batch.results.notebooks import (
    LocalNotebooks,
    NotebookStore,
    RemoteNotebooks,
)
from imagen_nb.errors import UsageError
from imagen_nb.system.atomic import (
    explain_folder_errors,
    remove_stale_files,
    write_atomically,
)
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
_LOCK_NAME, _LOCK_TIMEOUT_S = (
    ".imagen-batch.lock",
    5.0,
)  # seconds in which the workers of a dead batch end


class BatchFolder:
    """Where a batch writes. Invariant: a notebook that has its name is whole and was run."""

    def __init__(self, path: Path | str, notebooks: str | None = None) -> None:
        """`notebooks`: a URL that executed notebooks are kept at, instead of in the folder."""
        self.path = absolute_path(path)
        self._notebooks: NotebookStore = (
            RemoteNotebooks(notebooks) if notebooks else LocalNotebooks(self.path)
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else runs a batch into it meanwhile. Raises `UsageError` when somebody does."""
        with explain_folder_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK_NAME)
            try:
                lock.acquire(timeout=_LOCK_TIMEOUT_S)
            except Timeout:
                raise UsageError(
                    f"another batch is running into {self.path}: wait for it, or choose another -o"
                ) from None
        try:
            remove_stale_files(self.path)
            yield
        finally:
            lock.release()

    def keep(self, job: Job, ran: ExecutedNotebook) -> None:
        """Give an executed notebook its name, after its pictures' thumbnails have theirs."""
        with explain_folder_errors(self.path):
            for id, small in ran.thumbnails.items():
                self.thumbnail(id).parent.mkdir(exist_ok=True)
                write_atomically(self.thumbnail(id), base64.b64decode(small))
        self._notebooks.write(_notebook_name(job), ran.notebook)

    def link(self, job: Job) -> str:
        """Where a job's executed notebook is, seen from here."""
        return self._notebooks.link(_notebook_name(job))

    def thumbnail(self, id: str) -> Path:
        """Where a picture's small copy for the page is, if it has one."""
        return self.path / "thumbnails" / f"{UUID(id)}.webp"

    def outcome(self, job: Job) -> Outcome | None:
        """What became of a job before; None when it was not run, or with other parameters."""
        text = self._notebooks.read(_notebook_name(job))
        found = None if text is None else outcome_of_notebook(text)
        return found if found and found.key == job.key else None

    def frame(
        self, jobs: Sequence[Job], outcomes: Mapping[str, Outcome]
    ) -> pd.DataFrame:
        """The results table: one row a job in order, its parameters first.

        `duration_s` is in seconds; `picture_ids` and `paths` are lists; `notebook` is where it is,
        seen from here. A parameter that has the name of another column is called
        `parameter_<name>`. Of a column of several types all are text.
        """
        import pandas as pd

        names = dict.fromkeys(name for job in jobs for name in job.parameters)
        columns: dict[str, Any] = {"job": [job.name for job in jobs]}
        for name in names:
            shown = f"parameter_{name}" if name in RESULT_COLUMNS else name
            columns[shown] = _typed_column([job.parameters.get(name) for job in jobs])
        found = [outcomes.get(job.key) for job in jobs]
        links = [
            self.link(job) if one else None
            for job, one in zip(jobs, found, strict=True)
        ]
        columns |= {
            "status": [one.status if one else NOT_RUN for one in found],
            "error": pd.array(
                [one.error if one else None for one in found], dtype="str"
            ),
            "duration_s": pd.array(
                [one.seconds if one else None for one in found], dtype="Float64"
            ),
            "picture_ids": [
                [id for id, _ in one.pictures] if one else [] for one in found
            ],
            "paths": [
                [path for _, path in one.pictures] if one else [] for one in found
            ],
            "notebook": pd.array(links, dtype="str"),
        }
        return pd.DataFrame(columns)

    def write_table(self, frame: pd.DataFrame) -> None:
        """Write results.parquet and results.csv; lists are JSON in the latter."""
        import io

        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        listed = frame.map(
            lambda value: json.dumps(value) if isinstance(value, list) else value
        )
        with explain_folder_errors(self.path):
            write_atomically(self.path / "results.parquet", buffer.getvalue())
            write_atomically(
                self.path / "results.csv", listed.to_csv(index=False).encode()
            )

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Write batch.json: what ran."""
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
    """The values in a type that keeps them exactly: whole numbers stay so beside what is empty."""
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    dtype = {int: "Int64", float: "Float64", bool: "boolean", str: "str"}
    if len(kinds) == 1 and (kind := next(iter(kinds))) in dtype:
        return pd.array(values, dtype=dtype[kind])  # type: ignore[call-overload]
    if kinds <= {list}:
        return values
    return [
        value if value is None or isinstance(value, str) else json.dumps(value)
        for value in values
    ]
