"""The history in the cloud, through the API: pages by key, parts of the time side by side.

A server gives at most so many rows in an answer (1,000 as hosted Supabase is set up, perhaps fewer)
and does not say that there are more. So nothing is counted: after each page the next one begins at
its last key, (created_at, id), and a part ends where a page is empty. Rows without a time, which
other programs may write, come last, by their ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imagen_nb.cloud.client import MAX_IN_URL, Cloud, any_of, array, url_chunks
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import as_json, empty, newest_first, table_of
from imagen_nb.storage.record import IMAGES_COLUMNS
from imagen_nb.system.progress import reading

if TYPE_CHECKING:
    import pyarrow as pa

_READERS = 8  # parts at once
_PAGE = 10_000  # rows asked for in one answer, where the server gives as many

Filter = tuple[str, str]
_TIMED: Filter = ("created_at", "not.is.null")


def read(cloud: Cloud, query: Query, *, sidecar: bool = False) -> pa.Table:
    """The rows of this user that the query finds, newest first; `local_path` and `cloud` are null.

    Each row that is there throughout is read once; whether one is that is written meanwhile is left
    open. Raises `CloudError`.
    """
    import pyarrow as pa

    if query.nothing:
        return empty()
    owner, _ = cloud.owner()
    with reading() as count:
        source = _Source(cloud, f"eq.{owner}", query, sidecar, count)
        if query.ids is not None:
            tables = source.by_ids(query.ids)
            return (
                newest_first(pa.concat_tables(tables), query.limit)
                if tables
                else empty()
            )
        tables = source.serially() if query.limit is not None else source.side_by_side()
    whole = pa.concat_tables(tables) if tables else empty()
    return whole.slice(0, query.limit)


@dataclass(frozen=True, slots=True)
class _Key:
    """Where in the history a row stands. `created_at` is the server's own text of it."""

    created_at: str
    id: str

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.created_at).astimezone(UTC)

    @property
    def below(self) -> list[Filter]:
        """Rows after this one. The first condition is what the index on created_at needs."""
        at = _text(self.moment)
        return [
            ("created_at", f"lte.{at}"),
            (
                "and",
                f"(or(created_at.lt.{at},id.lt.{self.id}))",
            ),  # the filters may have an `or`
        ]


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows below `top` (all of them: None) that are not older than `bottom`."""

    top: _Key | None = None
    bottom: datetime | None = None

    @property
    def filters(self) -> list[Filter]:
        older = [("created_at", f"gte.{_text(self.bottom)}")] if self.bottom else []
        return [*(self.top.below if self.top else []), *older]


@dataclass(frozen=True, slots=True)
class _Page:
    """What came for a part, its last key, and how much time its rows cover."""

    part: _Part
    table: pa.Table
    last: _Key
    covers: timedelta


@dataclass(slots=True)
class _Source:
    """One reading. `count` hears how many rows each page brought."""

    cloud: Cloud
    owner: str
    query: Query
    sidecar: bool
    count: Any
    filters: list[Filter] = field(init=False)

    def __post_init__(self) -> None:
        self.filters = [("owner_user_id", self.owner), *conditions(self.query)]

    def by_ids(self, ids: Sequence[str]) -> list[pa.Table]:
        """Some requests for some ids each, several at once."""
        chunks = url_chunks(ids)
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(
                lambda chunk: [*self._by_id(("id", any_of(chunk)))], chunks
            )
            return [self._counted(page) for pages in found for page in pages]

    def serially(self) -> list[pa.Table]:
        """Page after page, no more than the limit needs."""
        tables: list[pa.Table] = []
        for page in itertools.chain(self._dated(), self._undated()):
            tables.append(self._counted(page))
            if sum(table.num_rows for table in tables) >= (self.query.limit or 0):
                break
        return tables

    def _dated(self) -> Iterator[pa.Table]:
        page = self._page(_Part(), self.query.limit)
        while page:
            yield page.table
            page = self._page(_Part(page.last), self.query.limit)

    def _undated(self) -> Iterator[pa.Table]:
        return self._by_id(("created_at", "is.null")) if self.query.ever else iter(())

    def _by_id(self, among: Filter) -> Iterator[pa.Table]:
        below: list[Filter] = []
        while rows := self._rows([among, *below, ("order", "id.desc")], _PAGE):
            yield table(rows, self.query)
            below = [("id", f"lt.{rows[-1]['id']}")]

    def side_by_side(self) -> list[pa.Table]:
        """All pages: a part of the time that is long is divided while there are idle readers."""
        with ThreadPoolExecutor(_READERS) as pool:
            undated = pool.submit(lambda: [*self._undated()])
            first, oldest = self._page(_Part()), self._oldest()
            pages = self._divided(first, oldest, pool) if first and oldest else []
            return [page.table for page in pages] + [
                *map(self._counted, undated.result())
            ]

    def _divided(
        self, first: _Page, oldest: datetime, pool: ThreadPoolExecutor
    ) -> list[_Page]:
        pages: list[_Page] = []
        under_way: set[Future[_Page | None]] = set()
        done: list[_Page] = [first]
        while done or under_way:
            for page in done:
                pages.append(page)
                self._counted(page.table)
                idle = max(1, _READERS - len(under_way))
                under_way |= {
                    pool.submit(self._page, part) for part in _rest(page, oldest, idle)
                }
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            done = [*filter(None, map(Future.result, ended))]
        return sorted(
            pages, key=lambda page: (page.last.moment, page.last.id), reverse=True
        )

    def _counted(self, table: pa.Table) -> pa.Table:
        self.count(table.num_rows)
        return table

    def _page(self, part: _Part, limit: int | None = None) -> _Page | None:
        """The newest rows of a part; None when there is none."""
        narrowed = bool(self.query.words) or _many_seeds(self.query)
        fewer = _PAGE if limit is None or narrowed else min(limit, _PAGE)
        rows = self._rows(
            [_TIMED, *part.filters, ("order", "created_at.desc,id.desc")], fewer
        )
        if not rows:
            return None
        newest, last = (
            _Key(row["created_at"], row["id"]) for row in (rows[0], rows[-1])
        )
        return _Page(part, table(rows, self.query), last, newest.moment - last.moment)

    def _rows(self, more: Sequence[Filter], most: int) -> list[dict[str, Any]]:
        columns = ",".join(
            name for name in IMAGES_COLUMNS if name != "sidecar" or self.sidecar
        )
        return self.cloud.rows([*self.filters, *more, ("limit", str(most))], columns)

    def _oldest(self) -> datetime | None:
        order = [_TIMED, ("order", "created_at.asc,id.asc"), ("limit", "1")]
        rows = self.cloud.rows([*self.filters, *order], "id,created_at")
        return _Key(rows[0]["created_at"], rows[0]["id"]).moment if rows else None


def _rest(page: _Page, oldest: datetime, readers: int) -> list[_Part]:
    """What of a page's part is left to read, divided by time if it seems to be several pages."""
    bottom = page.part.bottom or oldest
    left = max(page.last.moment - bottom, timedelta())
    pages = left / page.covers if page.covers else 1
    parts = max(1, min(readers, int(pages), left // timedelta(microseconds=1)))
    edges = [page.last.moment - left * number / parts for number in range(1, parts)]
    tops = [page.last, *(_above(edge) for edge in edges)]
    return [
        replace(page.part, top=top, bottom=edge)
        for top, edge in zip(tops, [*edges, page.part.bottom], strict=True)
    ]


_LOWEST = "00000000-0000-0000-0000-000000000000"


def _above(edge: datetime) -> _Key:
    """The key that all rows before this moment are below, and none at it."""
    return _Key(_text(edge), _LOWEST)


def conditions(query: Query) -> list[Filter]:
    """The query as PostgREST's filters, but for ids and limit; `table` drops what is too much."""
    return [*_conditions(query)]


def _conditions(query: Query) -> Iterator[Filter]:
    if query.since:
        yield "created_at", f"gte.{_text(query.since)}"
    if query.until:
        yield "created_at", f"lt.{_text(query.until)}"
    if query.backends is not None:
        yield "backend", any_of(query.backends)
    if query.models is not None:
        yield "model", any_of(query.models)
    if _many_seeds(query) and query.seeds:
        yield "seed", f"gte.{min(query.seeds)}"
        yield "seed", f"lte.{max(query.seeds)}"
    elif query.seeds is not None:
        yield "seed", any_of(query.seeds)
    if query.sizes is not None:
        pairs = [
            f"and(width.eq.{width},height.eq.{height})" for width, height in query.sizes
        ]
        yield "or", f"({','.join(pairs)})"
    if query.tags:
        yield "tags", f"cs.{array(query.tags)}"
    if query.any_tags is not None:
        yield "tags", f"ov.{array(query.any_tags)}"
    for pattern in query.words.patterns:
        yield "prompt", f"ilike.{pattern}"
    for pattern in query.words.unwanted_patterns:
        yield "prompt", f"not.ilike.{pattern}"


def _many_seeds(query: Query) -> bool:
    return query.seeds is not None and len(query.seeds) > MAX_IN_URL


def _text(moment: datetime) -> str:
    """For an address, where a + would be a blank."""
    return (
        moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


def table(rows: list[dict[str, Any]], query: Query) -> pa.Table:
    """Rows of an answer that the query finds."""
    if query.words:
        rows = [row for row in rows if query.words.found_in(row["prompt"])]
    if _many_seeds(query):
        seeds = set(query.seeds or ())
        rows = [row for row in rows if row["seed"] in seeds]
    columns = {name: [row.get(name) for row in rows] for name in IMAGES_COLUMNS}
    columns["cost_usd_estimate"] = [
        _number(value) for value in columns["cost_usd_estimate"]
    ]
    columns["sidecar"] = as_json(columns["sidecar"])
    return table_of(columns, len(rows))


def _number(value: str | float | None) -> float | None:
    return None if value is None else float(value)
