"""The groups of settings: output, supabase, replicate, memory, cost, find, score …; their types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from imagen_nb.backends.flux.memory.keys import MEMORY_KEYS
from imagen_nb.system.paths import expand_user
from imagen_nb.system.secret_text import strip_secret
from imagen_nb.system.yaml_text import parse_yaml

CloudSyncChoice = Literal["auto", "on", "off"]
PreviewChoice = Literal["auto", "on", "off"]
BackgroundChoice = Literal["auto", "on", "off"]


def _reject_boolean(value: Any) -> Any:
    """Refuse a boolean, which YAML makes of yes and no, and which would pass for 1 or 0."""
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def on_or_off(value: Any) -> Any:
    """Return on or off for a boolean, which YAML 1.1 makes of a bare on or off."""
    if not isinstance(value, bool):
        return value
    return "on" if value else "off"


def _parsed_mapping(value: Any) -> Any:
    """Return the mapping of a text: environment variables hold mappings as YAML."""
    try:
        return parse_yaml(value)[1] if isinstance(value, str) else value
    except yaml.YAMLError:
        raise ValueError("not a mapping") from None


def _strip_value(value: Any) -> Any:
    """Return the value without white space around it, such as a file's end of line."""
    if isinstance(value, SecretStr):
        return SecretStr(strip_secret(value.get_secret_value()))
    return strip_secret(value) if isinstance(value, str) else value


def split_names(value: Any) -> Any:
    """Return the names of a text with commas between them; anything else as it is."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _validated_address(url: str) -> str:
    """Refuse an address with more in it, which may be a password or a key: it is shown."""
    if set(unquote(url)) & set("@?#"):
        raise ValueError("more than an address")
    return url


def _validated_path(path: Path) -> Path:
    expand_user(path)  # raises for ~nobody; the setting stays as it was written
    return path


PositiveCount = Annotated[int, BeforeValidator(_reject_boolean), Field(ge=1)]
NonNegativeCount = Annotated[int, BeforeValidator(_reject_boolean), Field(ge=0)]
NonNegativeNumber = Annotated[
    float, BeforeValidator(_reject_boolean), Field(ge=0, allow_inf_nan=False)
]
_PositiveSeconds = Annotated[
    float, BeforeValidator(_reject_boolean), Field(gt=0, allow_inf_nan=False)
]
_StrippedText = Annotated[str, BeforeValidator(_strip_value)]
_StrippedSecret = Annotated[SecretStr, BeforeValidator(_strip_value)]
_UserPath = Annotated[Path, AfterValidator(_validated_path)]


class SettingsGroup(BaseModel):
    """Settings that belong together: frozen, without unknown keys, never quoted in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OutputSettings(SettingsGroup):
    """Where pictures are kept, and whether they are copied to the cloud."""

    dir: _UserPath = Path("~/imagen")
    cloud_sync: Annotated[CloudSyncChoice, BeforeValidator(on_or_off)] = "auto"


class SupabaseSettings(SettingsGroup):
    """The user's own Supabase."""

    url: Annotated[_StrippedText, AfterValidator(_validated_address)] | None = None
    key: _StrippedSecret | None = None
    email: _StrippedText | None = None
    password: _StrippedSecret | None = None
    database_url: _StrippedSecret | None = None
    exit_seconds: NonNegativeNumber = 5.0


class ReplicateSettings(SettingsGroup):
    """The user's account at Replicate, and how long a picture may take there, in seconds."""

    api_token: _StrippedSecret | None = None
    timeout: _PositiveSeconds | None = None


class MemorySettings(SettingsGroup):
    """Parts of the memory plan of local FLUX models that are set, whatever the machine."""

    plan: str | None = None
    device: str | None = None
    dtype: str | None = None
    quantization: str | None = None
    offload: str | None = None
    pinned: bool | None = None
    text_encoders: str | None = None
    vae_tiling: bool | None = None
    vae_slicing: bool | None = None
    attention: str | None = None
    fused_qkv: bool | None = None
    compile: bool | None = None
    cache: str | None = None
    first_block_cache: NonNegativeNumber | None = None
    taylorseer: NonNegativeCount | None = None
    batch: PositiveCount | None = None
    gguf: str | None = None

    @field_validator("*")
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and not MEMORY_KEYS[str(info.field_name)].accepts(value):
            raise ValueError("not known")
        return value

    def given(self) -> dict[str, Any]:
        """Return the keys that are set, with their values."""
        return {name: value for name, value in self if value is not None}


class CostSettings(SettingsGroup):
    """What pictures cost: `prices` in US dollars by backend, and electricity of this machine."""

    prices: Annotated[
        dict[str, NonNegativeNumber], BeforeValidator(_parsed_mapping)
    ] = Field(default_factory=dict)
    watts: NonNegativeNumber | Literal["nvml"] | None = None
    usd_per_kwh: NonNegativeNumber | None = None


class ProvenanceSettings(SettingsGroup):
    """How pictures tell where they come from, beside the mark in their metadata.

    `certificate`: PEM file of the chain, the signer's own first; `private_key`: PEM file
    of its key. `prompt`: whether the signed statement quotes the prompt. `watermark`:
    whether pictures get an invisible one, in the pixels.
    """

    c2pa: bool = False
    certificate: _UserPath | None = None
    private_key: _UserPath | None = None
    prompt: bool = False
    watermark: bool = False


class FindSettings(SettingsGroup):
    """How pictures are found by meaning: by which embedder, and when it looks at them."""

    embedder: _StrippedText | None = None
    background: Annotated[BackgroundChoice, BeforeValidator(on_or_off)] = "auto"


class ScoreSettings(SettingsGroup):
    """What scorers need. `aesthetic`: the file of a head on CLIP."""

    aesthetic: _UserPath | None = None


class WorkSettings(SettingsGroup):
    """What `imagen work` draws for other machines, whatever their jobs ask for.

    `backends`: by name, the one that draws what names none first; empty for what can draw
    here at no price. `max_pixels`, `max_steps`: of one picture. `lease_seconds`: how long
    a job stays a worker's that is not heard of.
    """

    backends: Annotated[tuple[str, ...], BeforeValidator(split_names)] = ()
    max_pixels: PositiveCount = 2048 * 2048
    max_steps: PositiveCount = 100
    lease_seconds: Annotated[PositiveCount, Field(le=3600)] = 60
