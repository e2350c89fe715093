"""The record of a picture: one definition, with a form for each place it is stored."""

from __future__ import annotations

import hashlib
import json
import math
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
_FIELDS_OF_FILE = ("storage_path", "sha256", "bytes", "content_credentials")

SIGNED, UNSIGNED = "signed", "unsigned"  # values of `Record.content_credentials`

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
    "watermark",
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

    Units: sizes in pixels, `latency_ms` in milliseconds, `created_at` in UTC. Keys of a
    newer schema are ignored when an older version reads them.

    Example:
        >>> record = im.generate("a red boat", seed=7).record
        >>> record.seed, record.width, record.height
        (7, 128, 128)
        >>> im.Record.from_sidecar(record.to_sidecar()) == record
        True
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION
    """The version of these keys; docs/stability.md has its history."""
    id: UUID = Field(default_factory=new_id)
    """A UUID that the picture gets when it is drawn and keeps for ever."""
    owner_user_id: UUID | None = None
    """Whose picture it is: a user of the Supabase."""
    prompt: str
    """What was to be drawn."""
    backend: str
    """What drew it: a name of `imagen models`; `diffusers` for a pipeline of yours."""
    model: str | None = None
    """The model: an id of Hugging Face, or the name of a folder."""
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None
    """What the noise follows from; null if no seed is known that draws it again."""
    steps: Count | None = None
    """Denoising steps; null where another program did not tell them."""
    width: Count
    """In pixels."""
    height: Count
    """In pixels."""
    latency_ms: Count | None = None
    """How long drawing took, in milliseconds; of a batch, its share."""
    cost_usd_estimate: _Number = None
    """What it cost, in US dollars; null: unknown."""
    storage_path: str | None = None
    """The path in the bucket; null in the PNG itself, and until it is saved."""
    tags: tuple[str, ...] = ()
    """Its labels, ratings among them."""
    created_at: Annotated[AwareDatetime, AfterValidator(_to_utc)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    """When it was drawn, in UTC."""
    guidance: _Number = None
    """The guidance scale."""
    max_sequence_length: int | None = None
    """How many tokens of the prompt T5 reads."""
    strength: _Number = None
    """How much of `init_image` was drawn anew, 0 to 1."""
    negative_prompt: str | None = None
    """What it was led away from."""
    true_cfg: _Number = None
    """The scale of classifier-free guidance."""
    inputs: tuple[dict[str, Any], ...] = ()
    """The images that it was drawn from, each with `name` (the option of the request),
    `file` (relative to the picture's folder), and that file's `sha256` and `bytes`."""
    derived_from: tuple[dict[str, Any], ...] = ()
    """The pictures that it repeats or varies, each with `how` (reproduce or like), `id`,
    and the `sha256` of its file; others that it was drawn from are in `inputs`."""
    job: UUID | None = None
    """The job that it was drawn for, on whichever machine; see docs/remote.md."""
    scheduler: str | None = None
    """The class of the scheduler that drew."""
    scheduler_name: str | None = None
    """The scheduler that was requested; null: the model's own."""
    loras: tuple[dict[str, Any], ...] = ()
    """The LoRAs, each with `path`, `sha256` and `weight`."""
    batch_size: int = 1
    """How many pictures were drawn together."""
    batch_index: int = 0
    """Which of them it is, from 0."""
    dtype: str | None = None
    """What was calculated with, such as bfloat16."""
    device: str | None = None
    """What drew: cpu, cuda:0, mps."""
    threads: int | None = None
    """How many threads a CPU used."""
    memory_plan: dict[str, Any] | None = None
    """What of the memory plan was out of the ordinary."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What else the backend was told."""
    sha256: str | None = None
    """Of the PNG file, hexadecimal; null in the file itself."""
    bytes: Count | None = None
    """The size of the PNG file; null in the file itself."""
    content_credentials: str | None = None
    """Signed or, where that failed, unsigned; null where signing was not asked for,
    and in the file itself."""
    watermark: str | None = None
    """How an invisible watermark was written into the pixels: dwtDctSvd; null: there is
    none."""
    versions: dict[str, str] = Field(default_factory=dict)
    """The versions of the software that decide pixels."""
    cloud: bool = True
    """False for a picture made with the cloud switched off."""
    unsent_tags: tuple[UnsentTag, ...] = ()
    """What of `tags` the cloud is still to learn; only the sidecar has it, so that a
    catalog built anew can send it."""

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

    def to_png_chunk(self) -> str:
        """Return the record as its own PNG holds it: ASCII JSON, without file facts."""
        inside = self.model_copy(update=dict.fromkeys(_FIELDS_OF_FILE))
        return json.dumps(inside.snapshot(), ensure_ascii=True)

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
