"""Which pictures came into the cloud since one began to look, however old they are.

A row has the time when its picture was drawn, by the clock of the machine that drew it,
and none of its arrival. Two questions find what is new all the same:

- the newest rows, down to where one began: what is drawn now;
- the newest claims, by the server's clock: a picture is claimed when it is sent, so
  that one of yesterday, or of a machine whose clock is wrong, is found as well. Its row
  follows its claim, sometimes hours later; until then it is expected.

What neither finds: a row that another program writes, without a claim, of a time before
one began to look. Whoever hears of one otherwise can `expect` it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import decoding
from imagen_nb.cloud.keyset import RowKey, key_of, last_key

_ROWS_PER_LOOK = 100
_CLAIMS_TO_BEGIN = 1000  # the last ones, of which some may have no row yet
_MAX_EXPECTED = 1000  # claims whose pictures never came are forgotten, the oldest first


@dataclass(slots=True)
class _Newest:
    """The newest rows of a table, by a time and a picture's id.

    `floor`: nothing below it is new, as it was there when one began.
    """

    cloud: Cloud
    table: str
    time: str
    id: str
    floor: RowKey | None = None

    def begin(self, count: int) -> list[str]:
        """Return the newest `count`; those below them are old from now on."""
        rows = self._page(count)
        self.floor = rows[-1] if rows else None
        return [row.id for row in rows]

    def new(self, known: Sequence[set[str]]) -> list[str]:
        """Return what none of the sets has, the newest first.

        Page after page, as long as each brings something: what comes by the thousand
        between two looks is found, and a look that finds nothing is one request.
        """
        found: list[str] = []
        top: RowKey | None = None
        while rows := self._page(_ROWS_PER_LOOK, top):
            new = [row.id for row in rows if self._is_new(row, known)]
            found += new
            if not new:
                break
            top = rows[-1]
        return [*dict.fromkeys(found)]

    def _is_new(self, row: RowKey, known: Sequence[set[str]]) -> bool:
        if self.floor is not None and row <= self.floor:
            return False
        return not any(row.id in ids for ids in known)

    def _page(self, count: int, top: RowKey | None = None) -> list[RowKey]:
        """Return the keys of the newest rows, or of those below `top`."""
        owner, _ = self.cloud.owner()
        conditions = [("owner_user_id", f"eq.{owner}"), (self.time, "not.is.null")]
        if top:
            conditions += top.filters_below(self.time, self.id)
        order = f"{self.time}.desc,{self.id}.desc"
        conditions += [("order", order), ("limit", str(count))]
        rows = self.cloud.rows(conditions, f"{self.id},{self.time}", self.table)
        if rows:
            last_key(rows, top, self.time, self.id)  # or it would be asked for ever
        with decoding():
            return [key_of(row, self.time, self.id) for row in rows]


@dataclass(slots=True)
class Arrivals:
    """The pictures of one user that come into the cloud.

    Invariant: each is told once, when its row is there. What is there at the first look
    that the server answers is not told.
    """

    cloud: Cloud
    _rows: _Newest = field(init=False)
    _claims: _Newest = field(init=False)
    _begun: bool = field(default=False, init=False)
    _told: set[str] = field(default_factory=set, init=False)
    _expected: dict[str, None] = field(default_factory=dict, init=False)  # in order

    def __post_init__(self) -> None:
        self._rows = _Newest(self.cloud, "images", "created_at", "id")
        self._claims = _Newest(self.cloud, "claims", "claimed_at", "image_id")

    def expect(self, ids: Iterable[str]) -> None:
        """Look for these, too, from the next look on, unless they were told."""
        for id in ids:
            if id not in self._told:
                self._expected[id] = None
        for id in [*self._expected][:-_MAX_EXPECTED]:
            del self._expected[id]

    def look(self) -> list[str]:
        """Return the ids of what came since the last look, the oldest first.

        Raises `CloudError` where the cloud cannot be read; the next look goes on as if
        there had been none.
        """
        if not self._begun:
            self._begin()
            return []
        self.expect(reversed(self._claims.new([self._told, set(self._expected)])))
        found = self._rows.new([self._told])[::-1]
        left = [id for id in self._expected if id not in found]
        there = self.cloud.rows_by_id(left, "id") if left else {}
        found = [*(id for id in left if id in there), *found]
        self._tell(found)
        return found

    def _begin(self) -> None:
        """Take what is there for told, and what is only claimed for expected."""
        claimed = self._claims.begin(_CLAIMS_TO_BEGIN)
        there = {*self.cloud.rows_by_id(claimed, "id")}
        self._tell([*there, *self._rows.begin(_ROWS_PER_LOOK)])
        self.expect(reversed([id for id in claimed if id not in there]))
        self._begun = True

    def _tell(self, ids: Iterable[str]) -> None:
        for id in ids:
            self._told.add(id)
            self._expected.pop(id, None)
