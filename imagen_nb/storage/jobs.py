"""Jobs: pictures that another machine of the same user draws, as rows of imagen.jobs."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from imagen_nb.errors import UsageError
from imagen_nb.request.drawing_settings import DrawingSettings
from imagen_nb.request.request import MAX_SEED
from imagen_nb.system.thumbnails import image_read_errors

if TYPE_CHECKING:
    from PIL.Image import Image

JobState = Literal["waiting", "drawing", "done", "failed", "cancelled"]
FINISHED: tuple[JobState, ...] = ("done", "failed", "cancelled")
MAX_JOB_ERROR_CHARS = 1000  # what the table takes
MAX_JOB_PARENTS = 8
MAX_PREVIEW_BYTES = 10_000
_MAX_SECONDS = 10**9  # more is no time that anybody waits; NaN is not less, either
MAX_PREVIEW_SIDE = 1024  # pixels

_SHA256 = re.compile(r"[0-9a-f]{64}")
# "flux-dev", "black-forest-labs/FLUX.1-dev", "style.safetensors": no path of any system.
_NAME = re.compile(r"[\w][\w.+-]*(/[\w][\w.+-]*)?")


def _require_plain_name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > 200:
        raise ValueError("a name or an id like owner/name, no path")
    return text


def _require_sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ValueError("the sha256 of a file, 64 digits")
    return text


Name = Annotated[str, AfterValidator(_require_plain_name)]
Sha256 = Annotated[str, AfterValidator(_require_sha256)]


class JobParent(BaseModel):
    """A picture that a job's picture repeats or varies, as `Record.derived_from` has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: Literal["like", "reproduce"]
    id: UUID
    sha256: Sha256 | None = None


class JobRequest(DrawingSettings):
    """What a job asks for: arguments of `Studio.generate`, None for the model's own.

    It comes from outside, and can name nothing of the machine that draws: models and
    LoRAs go by name, `init_image` and `mask` by the sha256 of a file in the owner's
    folder of the bucket. `derived_from` is for the picture's record only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Annotated[str, Field(max_length=20_000)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    max_sequence_length: int | None = None
    model: Name | None = None
    loras: tuple[tuple[Name, float], ...] = ()
    init_image: Sha256 | None = None
    mask: Sha256 | None = None
    derived_from: Annotated[
        tuple[JobParent, ...], Field(max_length=MAX_JOB_PARENTS)
    ] = ()

    def parents(self) -> tuple[dict[str, Any], ...]:
        """Return `derived_from` as a record has it."""
        return tuple(parent.model_dump(mode="json") for parent in self.derived_from)


class Job(BaseModel):
    """One job, as its row was read.

    Attributes:
        id: of the job, and of its picture.
        request: as it was asked for, unchecked: see `job_request`.
        state: waiting, drawing, done, failed or cancelled.
        attempts: how often a worker began to draw it.
        progress: step, steps and seconds_left, while it is drawn.
        preview: a small picture of how far it is, in Base64.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: UUID
    request: dict[str, Any]
    backend: str | None = None
    memory_mb: int | None = None
    priority: int = 0
    state: JobState = "waiting"
    attempts: int = 0
    max_attempts: int = 3
    worker_id: UUID | None = None
    progress: dict[str, Any] | None = None
    preview: str | None = None
    error: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


class JobNow(BaseModel):
    """How far a job is: what whoever waits for it asks for, several times a second."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: UUID
    state: JobState
    progress: dict[str, Any] | None = None
    error: str | None = None
    preview: str | None = None

    def steps(self, most: int) -> tuple[int, float]:
        """Return the denoising steps that have ended, and the seconds that are left.

        At most `most`, and 0 of what is no number: it comes from outside.
        """
        told = self.progress or {}
        step, seconds = told.get("step"), told.get("seconds_left")
        left = seconds if isinstance(seconds, (int, float)) else 0.0
        return (
            min(max(step, 0), most) if isinstance(step, int) else 0,
            max(float(left), 0.0) if abs(left) < _MAX_SECONDS else 0.0,
        )

    def preview_image(self) -> Image | None:
        """Return the picture as it grows, RGB; None for what is no small picture."""
        from PIL import Image

        try:
            data = base64.b64decode(self.preview or "", validate=True)
            if len(data) > MAX_PREVIEW_BYTES:
                return None
            with Image.open(io.BytesIO(data), formats=("WEBP", "PNG", "JPEG")) as file:
                if max(file.size) > MAX_PREVIEW_SIDE:
                    return None
                return file.convert("RGB")
        except image_read_errors():
            return None


class WorkerSeen(BaseModel):
    """A machine that draws jobs. `seconds`: since it was last heard of, by the server."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: UUID
    name: str
    backends: tuple[str, ...]
    memory_mb: int | None = None
    version: str | None = None
    stopped: bool = False
    seconds: float


def job_request(data: Mapping[str, Any]) -> JobRequest:
    """Return what a job asks for. Raise `UsageError` naming what cannot be drawn."""
    try:
        return JobRequest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        raise UsageError(f"{place}: {first['msg']}") from None
