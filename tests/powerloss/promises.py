"""What a user has been told is kept: the recorded process notes it, a line at a time.

A line has everything that is promised from then on. What a call is about to change is
taken out before the call, and put in again with its new value after it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from imagen_nb.storage.catalog import CatalogEntry
from imagen_nb.storage.picture import Picture


class Promises:
    """The promises of now, and the file to which they are noted.

    Of each: `pictures` by id, with name, sha256, what is so of `tags`, which changes of
    tags are `queued` for the cloud, the `states` that its copy may be in, and perhaps
    `storage_path`; `queue`, the prompts of the drawing queue in order, if `queue_closed`;
    `files` with their sha256; `gone`, ids of pictures that were removed, and `leaving`, of
    those that are being removed; `trashed`, pictures by id that were deleted, and `moving`,
    of those that are being deleted or restored; `theirs`, files of another program, with sha256
    and time. `times_ns` is of the folder of pictures, as it was then.
    """

    def __init__(self, marks: Path, root: Path, pictures: Path) -> None:
        """`root` is the recorded folder, `pictures` the one of the pictures below it."""
        self._descriptor = os.open(marks, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._root, self._pictures_folder = root, pictures
        self.pictures: dict[str, dict[str, Any]] = {}
        self.queue: list[str] = []
        self.queue_closed = True
        self.files: dict[str, str] = {}
        self.theirs: dict[str, tuple[str, int]] = {}
        self.gone: list[str] = []
        self.leaving: list[str] = []
        self.trashed: dict[str, dict[str, Any]] = {}
        self.moving: dict[str, dict[str, Any]] = {}

    def note(self, what: str) -> None:
        """Write down what is promised from now on, in one call of the system."""
        folder = self._pictures_folder
        name = folder.relative_to(self._root).as_posix()
        times_ns = {name: folder.stat().st_mtime_ns} if folder.is_dir() else {}
        promised = {
            "what": what,
            "pictures": self.pictures,
            "queue": self.queue,
            "queue_closed": self.queue_closed,
            "files": self.files,
            "theirs": self.theirs,
            "gone": self.gone,
            "leaving": self.leaving,
            "trashed": self.trashed,
            "moving": self.moving,
            "times_ns": times_ns,
        }
        os.write(self._descriptor, (json.dumps(promised) + "\n").encode())

    def add_picture(self, picture: Picture, state: str = "pending") -> str:
        """Promise a picture as it is returned to the user; return its id."""
        id = str(picture.record.id)
        self.pictures[id] = {
            "name": picture.path.name,
            "sha256": picture.record.sha256,
            "tags": dict.fromkeys(picture.record.tags, True),
            "queued": {},
            "states": [state],
        }
        for values in picture.record.inputs:
            self.files[f"{self._pictures_folder.name}/{values['file']}"] = values["sha256"]
        return id

    def add_adopted(self, entry: CatalogEntry) -> str:
        """Promise a picture that the user was told is adopted; return its id."""
        id, record = str(entry.record.id), entry.record
        tags = dict.fromkeys(record.tags, True)
        facts = {"name": entry.path.name, "sha256": record.sha256, "states": [entry.cloud_state]}
        self.pictures[id] = {**facts, "tags": tags, "queued": {**tags} if record.cloud else {}}
        return id

    def add_theirs(self, path: Path) -> None:
        """Promise that a file of another program stays as it is."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.theirs[path.relative_to(self._root).as_posix()] = (digest, path.stat().st_mtime_ns)

    def add_file(self, path: Path) -> None:
        """Promise a file as it is."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.files[path.relative_to(self._root).as_posix()] = digest

    def open_tags(self, id: str, *tags: str) -> None:
        """Promise nothing of these tags of a picture."""
        for tag in tags:
            self.pictures[id]["tags"].pop(tag, None)
            self.pictures[id]["queued"].pop(tag, None)

    def set_tags(self, id: str, *, queued: bool = True, **tags: bool) -> None:
        """Promise that a picture has, or lacks, these tags; `_` stands for a colon."""
        named = {tag.replace("_", ":"): present for tag, present in tags.items()}
        self.pictures[id]["tags"].update(named)
        if queued:
            self.pictures[id]["queued"].update(named)
