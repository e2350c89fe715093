"""The history in the cloud, through the API: pages by key, ranges of time side by side.

A server gives at most so many rows in an answer (1,000 as hosted Supabase is set up,
perhaps fewer) and does not say that there are more. So nothing is counted: after each
page the next one begins at its last key, (created_at, id), and a range ends where a
page is empty. Rows without a time, which other programs may write, come last, by their
ids.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import decoding
from imagen_nb.cloud.filters import (
    MAX_VALUES_PER_URL,
    array_literal,
    in_filter,
    url_chunks,
)
from imagen_nb.cloud.keyset import RowKey, key_of, last_key, moment_in_url
from imagen_nb.frames.query import Query
from imagen_nb.frames.schema import (
    empty_table,
    history_table,
    json_texts,
    newest_first,
)
from imagen_nb.storage.record import IMAGES_COLUMNS
from imagen_nb.system.progress import page_progress_bar

if TYPE_CHECKING:
    import pyarrow as pa

_READER_THREADS = 8
_ROWS_PER_PAGE = 10_000  # requested; a server may give fewer
_LOWEST_ID = "00000000-0000-0000-0000-000000000000"

ApiFilter = tuple[
    str, str
]  # a column (or "order", "limit", "or") and PostgREST's condition
_HAS_TIME: ApiFilter = ("created_at", "not.is.null")
_NO_TIME: ApiFilter = ("created_at", "is.null")


@dataclass(frozen=True, slots=True)
class ApiSource:
    """A `TableSource`: the rows of the user who is signed in, through the API."""

    cloud: Cloud

    def load(self, query: Query, *, sidecar: bool = False) -> pa.Table:
        """Return the rows that the query matches, newest first.

        Each row that is there throughout is read once; a row that is written meanwhile
        may be there or not.

        Raises:
            CloudError: if the API cannot be read.
        """
        import pyarrow as pa

        if query.matches_nothing:
            return empty_table()
        owner, _ = self.cloud.owner()
        with page_progress_bar() as count:
            pages = _PageReader(self.cloud, f"eq.{owner}", query, sidecar, count)
            if query.ids is not None:
                tables = pages.read_ids(query.ids)
            elif query.limit is not None:
                tables = pages.read_in_turn()
            else:
                tables = pages.read_side_by_side()
        table = pa.concat_tables(tables) if tables else empty_table()
        if query.ids is not None:
            return newest_first(table, query.limit)
        return table.slice(0, query.limit)


@dataclass(frozen=True, slots=True)
class _TimeRange:
    """Rows below `top` (None: from the newest) that are not older than `bottom`."""

    top: RowKey | None = None
    bottom: datetime | None = None

    @property
    def filters(self) -> list[ApiFilter]:
        filters = self.top.filters_below() if self.top else []
        if self.bottom:
            filters.append(("created_at", f"gte.{moment_in_url(self.bottom)}"))
        return filters


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of a range, its last key, and how much time its rows cover."""

    range: _TimeRange
    table: pa.Table
    last: RowKey
    covers: timedelta


@dataclass(slots=True)
class _PageReader:
    """Reads the pages of one query. `count` is called with the rows of each page."""

    cloud: Cloud
    owner: str
    query: Query
    sidecar: bool
    count: Callable[[int], None]
    filters: list[ApiFilter] = field(init=False)

    def __post_init__(self) -> None:
        self.filters = [("owner_user_id", self.owner), *_api_conditions(self.query)]

    def read_ids(self, ids: Sequence[str]) -> list[pa.Table]:
        """Read the rows of these ids, some at a time, several requests at once."""

        def read(chunk: Sequence[str]) -> list[pa.Table]:
            return [*self._pages_by_id(("id", in_filter(chunk)))]

        with ThreadPoolExecutor(_READER_THREADS) as pool:
            answers = pool.map(read, url_chunks(ids))
            return [self._counted(table) for tables in answers for table in tables]

    def read_in_turn(self) -> list[pa.Table]:
        """Read page after page, no more than the limit needs."""
        tables: list[pa.Table] = []
        rows = 0
        for table in itertools.chain(self._dated_pages(), self._undated_pages()):
            tables.append(self._counted(table))
            rows += table.num_rows
            if rows >= (self.query.limit or 0):
                break
        return tables

    def read_side_by_side(self) -> list[pa.Table]:
        """Read all pages; a long range is divided while there are idle threads."""
        with ThreadPoolExecutor(_READER_THREADS) as pool:
            undated = pool.submit(lambda: [*self._undated_pages()])
            first, oldest = self._read_page(_TimeRange()), self._oldest()
            pages = self._read_rest(first, oldest, pool) if first and oldest else []
            tables = [page.table for page in pages]
            return tables + [self._counted(table) for table in undated.result()]

    def _dated_pages(self) -> Iterator[pa.Table]:
        page = self._read_page(_TimeRange(), self.query.limit)
        while page:
            yield page.table
            page = self._read_page(_TimeRange(page.last), self.query.limit)

    def _undated_pages(self) -> Iterator[pa.Table]:
        return self._pages_by_id(_NO_TIME) if self.query.includes_undated else iter(())

    def _pages_by_id(self, among: ApiFilter) -> Iterator[pa.Table]:
        below: list[ApiFilter] = []
        order = ("order", "id.desc")
        last: str | None = None
        while rows := self._request_rows([among, *below, order], _ROWS_PER_PAGE):
            yield _matching_table(rows, self.query)
            last = _last_id(rows, last)
            below = [("id", f"lt.{last}")]

    def _read_rest(
        self, first: _Page, oldest: datetime, pool: ThreadPoolExecutor
    ) -> list[_Page]:
        """Read what follows the first page, and return all pages, newest first."""
        pages: list[_Page] = []
        under_way: set[Future[_Page | None]] = set()
        done: list[_Page] = [first]
        while done or under_way:
            for page in done:
                pages.append(page)
                self._counted(page.table)
                idle = max(1, _READER_THREADS - len(under_way))
                ranges = _ranges_after(page, oldest, idle)
                under_way |= {pool.submit(self._read_page, one) for one in ranges}
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            done = [page for page in (future.result() for future in ended) if page]
        pages.sort(key=lambda page: (page.last.moment, page.last.id), reverse=True)
        return pages

    def _counted(self, table: pa.Table) -> pa.Table:
        self.count(table.num_rows)
        return table

    def _read_page(self, range: _TimeRange, limit: int | None = None) -> _Page | None:
        """Return the newest rows of a range; None when there are none."""
        is_narrowed = bool(self.query.words) or _has_many_seeds(self.query)
        most = _ROWS_PER_PAGE if limit is None or is_narrowed else limit
        order = ("order", "created_at.desc,id.desc")
        rows = self._request_rows(
            [_HAS_TIME, *range.filters, order], min(most, _ROWS_PER_PAGE)
        )
        if not rows:
            return None
        newest, last = _first_and_last_key(rows, range.top)
        table = _matching_table(rows, self.query)
        return _Page(range, table, last, newest.moment - last.moment)

    def _request_rows(
        self, more: Sequence[ApiFilter], most: int
    ) -> list[dict[str, Any]]:
        names = [name for name in IMAGES_COLUMNS if name != "sidecar" or self.sidecar]
        filters = [*self.filters, *more, ("limit", str(most))]
        return self.cloud.rows(filters, ",".join(names))

    def _oldest(self) -> datetime | None:
        order = [_HAS_TIME, ("order", "created_at.asc,id.asc"), ("limit", "1")]
        rows = self.cloud.rows([*self.filters, *order], "id,created_at")
        return _first_and_last_key(rows, None)[0].moment if rows else None


def _first_and_last_key(
    rows: list[dict[str, Any]], top: RowKey | None
) -> tuple[RowKey, RowKey]:
    """Return the keys of a page's first and last row.

    Raise UnreachableError where they are none, or the last one is not below `top`: what
    answers everything alike would be asked for ever.
    """
    with decoding():
        first = key_of(rows[0])
    return first, last_key(rows, top)


def _last_id(rows: list[dict[str, Any]], top: str | None) -> str:
    """Return the id of a page's last row; the same for pages in the order of ids."""
    with decoding():
        last = str(UUID(rows[-1]["id"]))
        if top is not None and not last < top:
            raise ValueError("a page that does not go on")
        return last


def _ranges_after(page: _Page, oldest: datetime, threads: int) -> list[_TimeRange]:
    """Return what is left of a page's range, divided if that is several pages."""
    bottom = page.range.bottom or oldest
    left = max(page.last.moment - bottom, timedelta())
    pages = left / page.covers if page.covers else 1
    parts = max(1, min(threads, int(pages), left // timedelta(microseconds=1)))
    edges = [page.last.moment - left * number / parts for number in range(1, parts)]
    tops = [page.last, *(_key_above(edge) for edge in edges)]
    bottoms = [*edges, page.range.bottom]
    return [
        replace(page.range, top=top, bottom=bottom)
        for top, bottom in zip(tops, bottoms, strict=True)
    ]


def _key_above(edge: datetime) -> RowKey:
    """Return the key that all rows before this moment are below, and none at it."""
    return RowKey(edge, _LOWEST_ID)


def _api_conditions(query: Query) -> Iterator[ApiFilter]:
    """Yield filters, but for ids and limit; `_matching_table` does the rest."""
    if query.since:
        yield "created_at", f"gte.{moment_in_url(query.since)}"
    if query.until:
        yield "created_at", f"lt.{moment_in_url(query.until)}"
    if query.backends is not None:
        yield "backend", in_filter(query.backends)
    if query.models is not None:
        yield "model", in_filter(query.models)
    if _has_many_seeds(query) and query.seeds:
        yield "seed", f"gte.{min(query.seeds)}"
        yield "seed", f"lte.{max(query.seeds)}"
    elif query.seeds is not None:
        yield "seed", in_filter(query.seeds)
    if query.sizes is not None:
        pairs = [f"and(width.eq.{w},height.eq.{h})" for w, h in query.sizes]
        yield "or", f"({','.join(pairs)})"
    if query.tags:
        yield "tags", f"cs.{array_literal(query.tags)}"
    if query.any_tags is not None:
        yield "tags", f"ov.{array_literal(query.any_tags)}"
    for pattern in query.words.required_patterns:
        yield "prompt", f"ilike.{pattern}"
    for pattern in query.words.excluded_patterns:
        yield "prompt", f"not.ilike.{pattern}"


def _has_many_seeds(query: Query) -> bool:
    return query.seeds is not None and len(query.seeds) > MAX_VALUES_PER_URL


def _matching_table(rows: list[dict[str, Any]], query: Query) -> pa.Table:
    """Return those rows of an answer that the query matches."""
    with decoding():
        if query.words:
            rows = [row for row in rows if query.words.found_in(row["prompt"])]
        if _has_many_seeds(query):
            seeds = set(query.seeds or ())
            rows = [row for row in rows if row["seed"] in seeds]
        return _table_of_answer(rows)


def _table_of_answer(rows: list[dict[str, Any]]) -> pa.Table:
    columns = {name: [row.get(name) for row in rows] for name in IMAGES_COLUMNS}
    columns["cost_usd_estimate"] = [
        None if cost is None else float(cost) for cost in columns["cost_usd_estimate"]
    ]
    columns["sidecar"] = json_texts(columns["sidecar"])
    return history_table(columns, len(rows))
