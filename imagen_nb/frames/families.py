"""The families of many pictures: which of them were drawn from which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from imagen_nb.cloud.client import Cloud
from imagen_nb.frames.lineage import LINK_COLUMNS, MAX_GENERATIONS, links_of_row
from imagen_nb.frames.query import is_uuid
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.parents import ParentLink, all_links

if TYPE_CHECKING:
    import pandas as pd

FAMILY_COLUMNS = ("family", "generation", "how", "via")

_Parents = dict[str, dict[str, str]]  # how, by parent, by child; the first named first


def find_parents(
    ids: Sequence[str], catalogs: Sequence[Catalog], cloud: Cloud | None
) -> _Parents:
    """Return the parents of these pictures, of their ancestors and their descendants.

    A catalog is asked once, for all. The cloud is asked for the parents of pictures
    that no catalog has, a generation at a time; descendants that only it has are not
    found.

    Raises:
        CloudError: if the cloud is needed and cannot be read.
    """
    parents: _Parents = {}
    for catalog in catalogs:
        with catalog.connection() as connection:
            _add_links(all_links(connection), parents)
    if cloud is not None:
        begin = {*ids} | _named_in(_follow(ids, parents))
        _add_from_cloud(begin, parents, _known_ids(catalogs), cloud)
    above, below = _follow(ids, parents), _follow(ids, _inverted(parents))
    related = {*above, *_named_in(above), *below, *_named_in(below), *ids}
    return {child: own for child, own in parents.items() if child in related}


def _add_links(links: Iterable[ParentLink], parents: _Parents) -> None:
    for link in links:
        parent = link.parent_id
        if parent and is_uuid(parent) and parent != link.child_id:
            parents.setdefault(link.child_id, {}).setdefault(parent, link.how)


def _follow(begin: Iterable[str], links: _Parents) -> _Parents:
    """Return those links that can be reached."""
    reached: _Parents = {}
    left = [*begin]
    while left:
        one = left.pop()
        if one in links and one not in reached:
            reached[one] = links[one]
            left += links[one]
    return reached


def _named_in(parents: _Parents) -> set[str]:
    return {parent for own in parents.values() for parent in own}


def _inverted(parents: _Parents) -> _Parents:
    children: _Parents = {}
    for child, own in parents.items():
        for parent, how in own.items():
            children.setdefault(parent, {})[child] = how
    return children


def _known_ids(catalogs: Sequence[Catalog]) -> set[str]:
    known: set[str] = set()
    for catalog in catalogs:
        with catalog.connection() as connection:
            known |= {id for (id,) in connection.execute("SELECT id FROM images")}
    return known


def _add_from_cloud(
    ids: set[str], parents: _Parents, known: set[str], cloud: Cloud
) -> None:
    asked = known
    for _ in range(MAX_GENERATIONS):
        unknown = sorted(id for id in ids - asked if is_uuid(id))
        if not unknown:
            return
        for id, row in cloud.rows_by_id(unknown, LINK_COLUMNS).items():
            _add_links(links_of_row(id, row), parents)
        asked |= ids
        ids = _named_in(parents)


def families_frame(
    parents: Mapping[str, Mapping[str, str]], history: pd.DataFrame
) -> pd.DataFrame:
    """Return the pictures of a history that have relatives in it, family by family.

    `parents`: as of `find_parents`. The columns `FAMILY_COLUMNS` are added, and the rows
    are in the order that `Collection.lineage` documents.
    """
    known = {str(id): place for place, id in enumerate(history["id"])}
    own = {
        child: {one: how for one, how in named.items() if one in known}
        for child, named in parents.items()
        if child in known
    }
    generations = _generations(own)
    numbers = _family_numbers(own, known)
    order = sorted(
        generations, key=lambda id: (numbers[id], generations[id], -known[id])
    )
    ways = [_way_of(id, own, generations) for id in order]
    found = history.iloc[[known[id] for id in order]]
    return found.assign(
        family=[numbers[id] for id in order],
        generation=[generations[id] for id in order],
        how=[how for how, _ in ways],
        via=_texts([via for _, via in ways]),
    ).reset_index(drop=True)


def _generations(parents: _Parents) -> dict[str, int]:
    """Return how many generations lie above each that has relatives.

    Records of strangers may name each other: what lies in a circle gets the number of
    those above that lie in none.
    """
    children = _inverted(parents)
    generations = dict.fromkeys((*children, *_named_in(children)), 0)
    waiting = {child: len(own) for child, own in parents.items()}
    ready = [id for id in generations if not waiting.get(id)]
    while ready:
        parent = ready.pop()
        for child in children.get(parent, ()):
            generations[child] = max(generations[child], generations[parent] + 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return generations


def _family_numbers(parents: _Parents, order: Iterable[str]) -> dict[str, int]:
    """Return which family each belongs to, numbered in this order of pictures."""
    relatives: dict[str, set[str]] = {}
    for child, own in parents.items():
        for parent in own:
            relatives.setdefault(child, set()).add(parent)
            relatives.setdefault(parent, set()).add(child)
    numbers: dict[str, int] = {}
    for id in order:
        if id in relatives and id not in numbers:
            numbers |= dict.fromkeys(
                _reachable(id, relatives), len({*numbers.values()})
            )
    return numbers


def _reachable(begin: str, relatives: Mapping[str, set[str]]) -> Iterator[str]:
    seen, left = {begin}, [begin]
    while left:
        one = left.pop()
        yield one
        left += (new := relatives[one] - seen)
        seen |= new


def _way_of(
    id: str, parents: _Parents, generations: Mapping[str, int]
) -> tuple[str, str | None]:
    """Return how a picture came from its latest parent, and from which."""
    older = [one for one in parents.get(id, {}) if generations[one] < generations[id]]
    if not older:  # it has none, or lies in a circle
        return "", None
    latest = max(older, key=generations.__getitem__)
    return parents[id][latest], latest


def _texts(values: Sequence[str | None]) -> pd.api.extensions.ExtensionArray:
    import pandas as pd

    return pd.array(values, dtype="str")
