"""The catalog's table `parents`: which pictures were drawn from which.

Triggers fill it from the sidecars' keys, so that it is right whoever writes a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

_KEYS = ("inputs", "derived_from")  # of a record: lists of objects
_INSERT = """
INSERT INTO parents (image_id, how, parent_id, parent_sha256)
  SELECT images.id,
    coalesce(json_extract(each.value, '$.how'), json_extract(each.value, '$.name'), ''),
    json_extract(each.value, '$.id'), json_extract(each.value, '$.sha256')
  FROM images, json_each(images.sidecar, '$.{key}') AS each
  WHERE json_valid(images.sidecar) AND each.type = 'object'
"""
_OF_NEW_ROW = " AND images.id = NEW.id;"
_REMOVE = "DELETE FROM parents WHERE image_id = OLD.id;"


@dataclass(frozen=True, slots=True)
class ParentLink:
    """That a picture was drawn from another one.

    `how`: init_image, mask, reference, like or reproduce. The parent is named by its
    id, by its file, or both; the history need not have it.
    """

    child_id: str
    how: str
    parent_id: str | None
    parent_sha256: str | None


def parents_statements() -> Iterator[str]:
    """Yield what fills the table from rows that are there, and keeps it so."""
    inserts = [_INSERT.format(key=key) for key in _KEYS]
    yield from inserts
    filled = "\n".join(statement + _OF_NEW_ROW for statement in inserts)
    yield (
        f"CREATE TRIGGER images_parents_added AFTER INSERT ON images BEGIN {filled} END"
    )
    yield (
        "CREATE TRIGGER images_parents_changed AFTER UPDATE OF id, sidecar ON images"
        f" BEGIN {_REMOVE} {filled} END"
    )
    yield (
        "CREATE TRIGGER images_parents_removed AFTER DELETE ON images"
        f" BEGIN {_REMOVE} END"
    )


def links_to_parents(connection: sqlite3.Connection, id: str) -> list[ParentLink]:
    """Return what this picture was drawn from.

    The id of a parent is filled in where only its file is named and the catalog has it.
    """
    query = (
        "SELECT image_id, how, coalesce(parent_id, (SELECT id FROM images"
        " WHERE sha256 = parent_sha256)), parent_sha256 FROM parents WHERE image_id = ?"
    )
    return [ParentLink(*row) for row in connection.execute(query, (id,))]


def all_links(connection: sqlite3.Connection) -> list[ParentLink]:
    """Return what every picture of the catalog was drawn from, as `links_to_parents`."""
    query = (
        "SELECT image_id, how, coalesce(parent_id, (SELECT id FROM images"
        " WHERE sha256 = parent_sha256)), parent_sha256 FROM parents"
    )
    return [ParentLink(*row) for row in connection.execute(query)]


def links_to_children(
    connection: sqlite3.Connection, id: str, sha256: str | None
) -> list[ParentLink]:
    """Return what was drawn from this picture, given its file's sha256 too."""
    query = (
        "SELECT image_id, how, ?1, parent_sha256 FROM parents WHERE parent_id = ?1"
        " UNION SELECT image_id, how, ?1, parent_sha256 FROM parents"
        " WHERE parent_sha256 = ?2"
    )
    return [ParentLink(*row) for row in connection.execute(query, (id, sha256))]
