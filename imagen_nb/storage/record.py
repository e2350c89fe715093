"""All that is known of one picture: one definition, with a face for each place it is kept."""

from __future__ import annotations

import hashlib
import json
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

_FIELDS_OF_FILE = (
    "storage_path",
    "sha256",
    "bytes",
)  # null inside the PNG: known once it is written
_FIELDS_BEHIND_PIXELS = {  # what the pixels follow from
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


def new_id() -> UUID:
    """A fresh id, made when a picture is drawn and never changed."""
    return uuid.uuid4()


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None


Count = Annotated[int, Field(ge=0, lt=2**63)]  # what a BIGINT holds


class Record(BaseModel):
    """One picture. Sizes in pixels, `latency_ms` in milliseconds, `created_at` in UTC.

    `storage_path`, `sha256` and `bytes` are of the PNG file, so they are None until it is kept, and
    inside the file itself. `cloud` is False for a picture made with the cloud switched off.
    `seed` is None where none is known that draws this picture, as of a pipeline called without one.
    `inputs`: the images that it was drawn from, each with its `name` among the fields of a request,
    the `sha256` and `bytes` of its `file`, which lies in the folder of the picture. `scheduler`:
    the class that drew; `scheduler_name`: the one that was asked for, None for the model's own.
    Keys of a newer schema are ignored when an older program reads them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION
    id: UUID = Field(default_factory=new_id)
    owner_user_id: UUID | None = None
    prompt: str
    backend: str
    model: str | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None
    steps: Count
    width: Count
    height: Count
    latency_ms: Count | None = None
    cost_usd_estimate: float | None = None
    storage_path: str | None = None
    tags: tuple[str, ...] = ()
    created_at: Annotated[AwareDatetime, AfterValidator(_to_utc)] = Field(
        default_factory=lambda: datetime.now(UTC)
    )
    guidance: float | None = None
    max_sequence_length: int | None = None
    strength: float | None = None
    negative_prompt: str | None = None
    true_cfg: float | None = None
    inputs: tuple[dict[str, Any], ...] = ()
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

    @computed_field  # type: ignore[prop-decorator]
    @property
    def prompt_hash(self) -> str:
        """sha256 of the prompt in UTF-8, hexadecimal: joins to mai.imagen_usage."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    def snapshot(self) -> dict[str, Any]:
        """The record as plain JSON values; what JSON cannot hold (in `options`) as its text."""
        return self.model_dump(mode="json", fallback=str)

    def to_sidecar(self) -> str:
        """The sidecar's text: JSON, one key a line, in the order of the fields."""
        return json.dumps(self.snapshot(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_sidecar(cls, text: str) -> Record:
        """The record of a sidecar or a PNG chunk. Raises `StorageError` when it is torn."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the text"
            raise StorageError(
                f"not the record of a picture: {where}: {first['msg']}"
            ) from None

    def to_row(self) -> dict[str, Any]:
        """The row of imagen.images: exactly `COLUMNS`; JSON values; `sidecar` is all of it."""
        snapshot = self.snapshot()
        return {
            name: snapshot if name == "sidecar" else snapshot[name]
            for name in IMAGES_COLUMNS
        }

    def to_png_text(self) -> dict[str, str]:
        """PNG text chunks by keyword: the common web-UI form, and the record itself.

        `parameters` is the form that stable-diffusion-webui writes and other tools read: the
        prompt, then a line of `Name: value` pairs.
        """
        inside = self.model_copy(update=dict.fromkeys(_FIELDS_OF_FILE))
        return {
            "parameters": f"{_printable(self.prompt)}\n{self._negative()}{self._settings()}",
            "imagen_nb": json.dumps(inside.snapshot(), ensure_ascii=True),
        }

    def _negative(self) -> str:
        text = _printable(self.negative_prompt or "")
        return f"Negative prompt: {text}\n" if text else ""

    def _settings(self) -> str:
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
        """A digest of all that the pixels follow from: equal for requests for the same picture.

        A picture without a seed is like no other one.
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
    """The text without control characters but for line ends: a PNG text chunk ends at a NUL."""
    return "".join(
        " " if char != "\n" and unicodedata.category(char) == "Cc" else char
        for char in text
    )
