"""What a picture was drawn from, and what was drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.errors import MISSING_CODES, RefusedError, decoding
from imagen_nb.cloud.filters import in_filter, url_chunks
from imagen_nb.frames.query import is_uuid
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.parents import ParentLink, links_to_children, links_to_parents
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

# A picture, another one (None: unknown) at the other end of a link, and the link.
_Link: TypeAlias = tuple[str, str | None, str]
_Links: TypeAlias = Callable[[Sequence[str]], Iterator[_Link]]

MAX_GENERATIONS = 20  # in either direction
MAX_RELATIVES = 500
PARENT_KEYS = ("inputs", "derived_from")  # of a record
LINK_COLUMNS = ",".join(
    (
        "id",
        "sha256:sidecar->>sha256",
        *(f"{key}:sidecar->{key}" for key in PARENT_KEYS),
    )
)


@dataclass(frozen=True, slots=True)
class Relative:
    """A picture of a family.

    Attributes:
        id: the picture's.
        generation: 0 is the picture that was asked for, -1 what that was drawn from, 1
            what was drawn from it, and so on.
        how: by which link it came into the family, such as init_image; "" for the
            picture itself.
        via: the relative at the other end of that link; None for the picture itself.
    """

    id: str
    generation: int
    how: str = ""
    via: str | None = None


@dataclass(frozen=True, slots=True)
class FamilySearch:
    """Finds the relatives of pictures.

    Attributes:
        catalogs: where they are looked for first.
        cloud: where they are looked for then. None to leave it out.
    """

    catalogs: Sequence[Catalog]
    cloud: Cloud | None
    _cloud_rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def relatives(self, id: str) -> list[Relative]:
        """Return the family of a picture, its ancestors first.

        At most `MAX_RELATIVES`, each once, and `MAX_GENERATIONS` in either direction.
        Raises what reading a catalog raises, and `CloudError` if the cloud is needed
        and cannot be read.
        """
        family = {id: Relative(id, 0)}
        self._follow(id, -1, self._parents, family)
        self._follow(id, 1, self._children, family)
        return sorted(family.values(), key=lambda one: one.generation)

    def _follow(
        self, id: str, step: int, links_of: _Links, family: dict[str, Relative]
    ) -> None:
        current = [id]
        for distance in range(1, MAX_GENERATIONS + 1):
            links = [*links_of(current)] if current else []
            current = []
            for via, other, how in links:
                is_new = other and is_uuid(other) and other not in family
                if other and is_new and len(family) < MAX_RELATIVES:
                    family[other] = Relative(other, step * distance, how, via)
                    current.append(other)

    def _parents(self, ids: Sequence[str]) -> Iterator[_Link]:
        for id in ids:
            local = [*self._local(links_to_parents, id)]
            for link in local or self._cloud_parents(id):
                parent = link.parent_id or self._id_in_cloud(link.parent_sha256)
                yield id, parent, link.how

    def _children(self, ids: Sequence[str]) -> Iterator[_Link]:
        digests = self._digests(ids)
        for id in ids:
            for link in self._local(links_to_children, id, digests[id]):
                yield id, link.child_id, link.how
        names = {id: id for id in ids}
        names |= {digest: id for id, digest in digests.items() if digest}
        yield from self._cloud_children(names)

    def _local(
        self, ask: Callable[..., list[ParentLink]], *values: str | None
    ) -> Iterator[ParentLink]:
        for catalog in self.catalogs:
            with catalog.connection() as connection:
                links = ask(connection, *values)
            yield from links

    def _digests(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the sha256 of each picture's file, as far as it is known anywhere."""
        found: dict[str, str | None] = dict.fromkeys(ids)
        for catalog in self.catalogs:
            for entry in catalog.get_many(ids):
                found[str(entry.record.id)] = entry.record.sha256
        unknown = [id for id, digest in found.items() if digest is None]
        self._load_cloud_rows(unknown)
        for id in unknown:
            found[id] = _text_or_none(self._cloud_row(id).get("sha256"))
        return found

    def _cloud_parents(self, id: str) -> list[ParentLink]:
        """Return the parents that the cloud's row of a picture names."""
        return links_of_row(id, self._cloud_row(id))

    def _cloud_children(self, names: Mapping[str, str]) -> Iterator[_Link]:
        """Yield what the cloud knows to be drawn from pictures.

        `names`: their ids and the sha256 of their files, each with its picture's id.
        """
        if self.cloud is None:
            return
        try:
            for part in url_chunks([*names]):
                yield from self._load_cloud_children(self.cloud, part, names)
        except RefusedError as error:
            if error.code not in MISSING_CODES:
                raise
            print_notice(f"lineage: pictures drawn elsewhere may be missing: {error}")

    def _load_cloud_children(
        self, cloud: Cloud, part: Sequence[str], names: Mapping[str, str]
    ) -> list[_Link]:
        owner, _ = cloud.owner()
        conditions = [
            ("owner_user_id", f"eq.{owner}"),  # a secret key sees everybody's
            ("parent", in_filter(part)),
            ("order", "image_id"),
            ("limit", str(MAX_RELATIVES)),
        ]
        rows = cloud.rows(conditions, "image_id,parent,how", "parents")
        with decoding():
            return [
                (names[row["parent"]], str(row["image_id"]), str(row["how"]))
                for row in rows
            ]

    def _cloud_row(self, id: str) -> Mapping[str, Any]:
        """Return what the cloud has of a picture; nothing where it is not asked."""
        self._load_cloud_rows([id])
        return self._cloud_rows.get(id, {})

    def _load_cloud_rows(self, ids: Sequence[str]) -> None:
        left = [id for id in ids if id not in self._cloud_rows]
        if self.cloud is not None and left:
            found = self.cloud.rows_by_id(left, LINK_COLUMNS)
            self._cloud_rows.update({id: found.get(id, {}) for id in left})

    def _id_in_cloud(self, sha256: str | None) -> str | None:
        """Return the id of the cloud's picture with this file, if there is one."""
        if self.cloud is None or sha256 is None:
            return None
        conditions = [("sidecar->>sha256", f"eq.{sha256}"), ("limit", "1")]
        rows = self.cloud.rows(conditions, "id")
        with decoding():
            return _text_or_none(rows[0]["id"]) if rows else None


def links_of_row(id: str, row: Mapping[str, Any]) -> list[ParentLink]:
    """Return the parents that the cloud's row of a picture names."""
    named = [one for key in PARENT_KEYS for one in row.get(key) or ()]
    return [
        ParentLink(
            id,
            _text_or_none(one.get("how")) or _text_or_none(one.get("name")) or "",
            _text_or_none(one.get("id")),
            _text_or_none(one.get("sha256")),
        )
        for one in named
        if isinstance(one, Mapping)
    ]


def lineage_frame(family: Sequence[Relative], history: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the family's pictures, in its order, as `Library.lineage` does.

    Without those that the history does not have.
    """
    import pandas as pd

    rows = pd.DataFrame(
        {
            "id": [one.id for one in family],
            "generation": [one.generation for one in family],
            "how": [one.how for one in family],
            "via": pd.array([one.via for one in family], dtype="str"),
        }
    )
    joined = rows.merge(history, on="id", how="inner")
    return joined[[*history.columns, "generation", "how", "via"]]


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
