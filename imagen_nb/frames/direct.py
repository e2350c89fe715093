"""The history straight from PostgreSQL, through ADBC."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import SecretStr

from imagen_nb.cloud.answers import Unreachable
from imagen_nb.frames.query import Query

if TYPE_CHECKING:
    import pyarrow as pa


def available() -> bool:
    """Whether the extra `postgres` is installed."""
    return all(find_spec(name) for name in ("adbc_driver_postgresql", "psycopg"))


def read(
    database_url: SecretStr, query: Query, *, owner: UUID | None = None, sidecar: bool = False
) -> pa.Table:
    """The rows that the query finds, newest first; `local_path` and `cloud` are null."""
    raise Unreachable("helper A writes this")
