"""The record of a picture: one definition, with a form for each place it is stored."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    computed_field,
)

from imagen_nb.errors import StorageError
from imagen_nb.request.request import MAX_SEED

SCHEMA_VERSION = 1

IMAGES_COLUMNS = (  # of imagen.images, in its order
    "id",
    "owner_user_id",
    "prompt",
    "prompt_hash",
    "backend",
    "model",
    "seed",
    "steps",
    "width",
    "height",
    "latency_ms",
    "cost_usd_estimate",
    "storage_path",
    "sidecar",
    "tags",
    "created_at",
)

# Facts of the PNG file, so they are not known inside it.
_FIELDS_OF_FILE = ("storage_path", "sha256", "bytes")

# What the pixels follow from: equal values, equal pixels.
_FIELDS_BEHIND_PIXELS = {
    "prompt",
    "backend",
    "model",
    "seed",
    "steps",
    "width",
    "height",
    "guidance",
    "max_sequence_length",
    "loras",
    "options",
    "strength",
    "negative_prompt",
    "true_cfg",
    "scheduler_name",
    "inputs",
}


# Read again, a record without one of these would be that of another picture each time.
_MADE_WHEN_DRAWN = ("id", "created_at")


def new_id() -> UUID:
    """Return a new id; a picture gets one when it is drawn and keeps it for ever."""
    return uuid.uuid4()


def short_id(id: object) -> str:
    """Return the first 8 digits of an id: enough for `reproduce` and `tag`."""
    return str(id)[:8]


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None


def _finite_or_none(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


Count = Annotated[int, Field(ge=0, lt=2**63)]  # what a BIGINT holds
# NaN and infinity are no JSON: the cloud would take no row of a picture with one.
_Number = Annotated[float | None, AfterValidator(_finite_or_none)]


class UnsentTag(BaseModel):
    """A change of one tag that the cloud may not have yet.

    `present`: whether it was added (or removed); `made_at`: when, in UTC, as text that
    sorts.
    """

    model_config = ConfigDict(frozen=True)

    tag: str
    present: bool
    made_at: str


class Record(BaseModel):
    """All that is known of one picture; sidecars have the fields as their keys.

    Units: sizes in pixels, `latency_ms` in milliseconds, `created_at` in UTC.

    Fields that need more than their name:
        seed: None if no seed is known that draws this picture again, as for a pipeline
            that was called without one.
        storage_path, sha256, bytes: of the PNG file; None in the file
            itself, and until it is saved.
        inputs: the images that it was drawn from, each with `name` (the option of the
            request), `file` (relative to the picture's folder), and that file's
            `sha256` and `bytes`.
        derived_from: the pictures that it repeats or varies, each with `how` (reproduce
            or like), `id`, and the `sha256` of its file; other pictures that it was
            drawn from are among the inputs.
        scheduler, scheduler_name: the class that drew, and the one that was requested
            (None: the model's own).
        cloud: False for a picture made with the cloud switched off.
        unsent_tags: what of `tags` the cloud is still to learn. A fact of this machine:
            only the sidecar has it, so that a catalog built anew can send it.

    Keys of a newer schema are ignored when an older version reads them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION
    id: UUID = Field(default_factory=new_id)
    owner_user_id: UUID | None = None
    prompt: str
    backend: str
    model: str | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None
    steps: Count | None = None
    width: Count
    height: Count
    latency_ms: Count | None = None
    cost_usd_estimate: _Number = None
    storage_path: str | None = None
    tags: tuple[str, ...] = ()
    created_at: Annotated[AwareDatetime, AfterValidator(_to_utc)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    guidance: _Number = None
    max_sequence_length: int | None = None
    strength: _Number = None
    negative_prompt: str | None = None
    true_cfg: _Number = None
    inputs: tuple[dict[str, Any], ...] = ()
    derived_from: tuple[dict[str, Any], ...] = ()
    scheduler: str | None = None
    scheduler_name: str | None = None
    loras: tuple[dict[str, Any], ...] = ()
    batch_size: int = 1
    batch_index: int = 0
    dtype: str | None = None
    device: str | None = None
    threads: int | None = None
    memory_plan: dict[str, Any] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    sha256: str | None = None
    bytes: Count | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    cloud: bool = True
    unsent_tags: tuple[UnsentTag, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def prompt_hash(self) -> str:
        """The sha256 of the prompt in UTF-8, hexadecimal: joins to mai.imagen_usage."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def snapshot(self) -> dict[str, Any]:
        """Return the record as JSON values; other objects in `options` as text.

        Without `unsent_tags`, which only the sidecar has.
        """
        return self.model_dump(mode="json", fallback=str, exclude={"unsent_tags"})

    def to_sidecar(self) -> str:
        """Return the text of the sidecar: JSON, a key a line, in the fields' order."""
        values = self.snapshot()
        if self.unsent_tags:
            values["unsent_tags"] = [mark.model_dump() for mark in self.unsent_tags]
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_sidecar(cls, text: str) -> Record:
        """Parse a sidecar or PNG chunk. Raise `StorageError` if it is not a record."""
        try:
            record = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the text"
            raise StorageError(
                f"not the record of a picture: {where}: {first['msg']}"
            ) from None
        for name in _MADE_WHEN_DRAWN:
            if name not in record.model_fields_set:
                raise StorageError(f"not the record of a picture: it has no {name}")
        return record

    def to_row(self) -> dict[str, Any]:
        """Return the row of imagen.images: a JSON value for each of `IMAGES_COLUMNS`.

        The column `sidecar` holds the whole record.
        """
        snapshot = self.snapshot()
        return {
            name: snapshot if name == "sidecar" else snapshot[name]
            for name in IMAGES_COLUMNS
        }

    def to_png_text(self) -> dict[str, str]:
        """Return the text chunks of the PNG, by keyword: `parameters` and `imagen_nb`.

        `parameters` is the form that stable-diffusion-webui writes and other tools
        read: the prompt, then a line of `Name: value` pairs. `imagen_nb` is the record
        as ASCII JSON.
        """
        inside = self.model_copy(update=dict.fromkeys(_FIELDS_OF_FILE))
        lines = [_printable(self.prompt), *self._negative_line(), self._settings_line()]
        return {
            "parameters": "\n".join(lines),
            "imagen_nb": json.dumps(inside.snapshot(), ensure_ascii=True),
        }

    def _negative_line(self) -> list[str]:
        text = _printable(self.negative_prompt or "")
        return [f"Negative prompt: {text}"] if text else []

    def _settings_line(self) -> str:
        pairs = {
            "Steps": self.steps,
            "Sampler": self.scheduler,
            "CFG scale": self.guidance,
            "Seed": self.seed,
            "Size": f"{self.width}x{self.height}",
            "Denoising strength": self.strength,
            "Model": self.model,
            "Version": f"imagen_nb {self.versions.get('imagen_nb', '')}".strip(),
        }
        return ", ".join(
            f"{name}: {value}" for name, value in pairs.items() if value is not None
        )

    def decides(self) -> str:
        """Return a digest of all that decides the pixels: equal for the same picture.

        A picture without a seed has a digest of its own, as no other picture is the
        same.
        """
        names = (
            _FIELDS_BEHIND_PIXELS
            if self.seed is not None
            else _FIELDS_BEHIND_PIXELS | {"id"}
        )
        values = self.model_dump(mode="json", fallback=str, include=names)
        text = json.dumps(values, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _printable(text: str) -> str:
    """Replace control characters but line ends: a PNG text chunk ends at a NUL."""
    return "".join(
        " " if char != "\n" and unicodedata.category(char) == "Cc" else char
        for char in text
    )
