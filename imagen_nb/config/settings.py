"""Settings: arguments over environment over imagen.yaml over defaults; secrets never print."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from imagen_nb.backends.flux.memory.keys import MEMORY_KEYS
from imagen_nb.config.yaml_file import Line, Problem, nearest, read_yaml, shown
from imagen_nb.errors import ConfigError
from imagen_nb.system.paths import expanded
from imagen_nb.system.secret_text import bare

CloudSync = Literal["auto", "on", "off"]
PreviewChoice = Literal["auto", "on", "off"]

_TEXT = "text without control characters, such as a line break, inside"

EXPECTED = {  # said of a value that cannot be used
    "backend": "a name, or a mapping with `type` like {type: flux, model: /models/mine}",
    "steps": "a whole number, 1 or more",
    "width": "a whole number of pixels, 1 or more",
    "height": "a whole number of pixels, 1 or more",
    "guidance": "a number, 0 or more",
    "tags": "words, as in [tests, blue]",
    "output.dir": "a folder",
    "output.cloud_sync": ", ".join(get_args(CloudSync)),
    **{
        f"supabase.{name}": _TEXT
        for name in ("url", "key", "email", "password", "database_url")
    },
    "supabase.exit_seconds": "seconds, 0 or more",
    "replicate.api_token": _TEXT,
    "replicate.timeout": "seconds, more than 0",
    "cost.prices": "US dollars for a picture of each backend, as in {flux-dev-replicate: 0.025}",
    "cost.watts": "watts, 0 or more, or nvml to ask the graphics card",
    "cost.usd_per_kwh": "US dollars, 0 or more",
    **{f"memory.{name}": key.takes for name, key in MEMORY_KEYS.items()},
    "owner_user_id": "a UUID like 3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d",
    "preview": ", ".join(get_args(PreviewChoice)),
}
ENVIRONMENT = {  # names that other programs use too, or that people type
    "output.cloud_sync": "IMAGEN_CLOUD_SYNC",
    "supabase.url": "SUPABASE_URL",
    "supabase.key": "SUPABASE_KEY",
    "supabase.database_url": "SUPABASE_DB_URL",
    "replicate.api_token": "REPLICATE_API_TOKEN",
}


def _no_switch(value: Any) -> Any:
    """YAML reads yes and no as booleans, and a boolean would pass for 1 or 0."""
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _switch(value: Any) -> Any:
    """YAML 1.1 reads a bare on or off as a boolean."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def _mapping(value: Any) -> Any:
    """An environment variable holds a mapping as YAML writes it."""
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        raise ValueError("not a mapping") from None


def _bare(value: Any) -> Any:
    """A file's end of line is no part of a secret or an address."""
    if isinstance(value, SecretStr):
        return SecretStr(bare(value.get_secret_value()))
    return bare(value) if isinstance(value, str) else value


def _reachable(folder: Path) -> Path:
    expanded(folder)  # raises for ~nobody; the setting stays as it was written
    return folder


_Count = Annotated[int, BeforeValidator(_no_switch), Field(ge=1)]
_Strength = Annotated[
    float, BeforeValidator(_no_switch), Field(ge=0, allow_inf_nan=False)
]
_Seconds = Annotated[
    float, BeforeValidator(_no_switch), Field(gt=0, allow_inf_nan=False)
]
_Text = Annotated[str, BeforeValidator(_bare)]
_Secret = Annotated[SecretStr, BeforeValidator(_bare)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OutputSettings(_Part):
    """Where pictures are kept, and whether they are copied to the cloud."""

    dir: Annotated[Path, AfterValidator(_reachable)] = Path("~/imagen")
    cloud_sync: Annotated[CloudSync, BeforeValidator(_switch)] = "auto"


class SupabaseSettings(_Part):
    """The user's own Supabase."""

    url: _Text | None = None
    key: _Secret | None = None
    email: _Text | None = None
    password: _Secret | None = None
    database_url: _Secret | None = None
    exit_seconds: _Strength = 5.0


class ReplicateSettings(_Part):
    """The user's account at Replicate, and how long a picture may take there, in seconds."""

    api_token: _Secret | None = None
    timeout: _Seconds | None = None


class MemorySettings(_Part):
    """What of the memory plan of local FLUX models is set, whatever the machine."""

    dtype: str | None = None
    quantization: str | None = None
    offload: str | None = None
    text_encoders: str | None = None
    vae_tiling: bool | None = None
    vae_slicing: bool | None = None
    compile: bool | None = None
    first_block_cache: _Strength | None = None
    batch: _Count | None = None
    gguf: str | None = None

    @field_validator("*")
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and not MEMORY_KEYS[str(info.field_name)].accepts(value):
            raise ValueError("not known")
        return value

    def given(self) -> dict[str, Any]:
        """What is set."""
        return {name: value for name, value in self if value is not None}


class CostSettings(_Part):
    """What pictures cost: `prices` in US dollars by backend, and electricity of this machine."""

    prices: Annotated[dict[str, _Strength], BeforeValidator(_mapping)] = Field(
        default_factory=dict
    )
    watts: _Strength | Literal["nvml"] | None = None
    usd_per_kwh: _Strength | None = None


class Settings(_Part):
    """Everything that can be configured. `sources`: where each value but the defaults came from."""

    backend: str | dict[str, Any] = "auto"
    steps: _Count | None = None
    width: _Count | None = None
    height: _Count | None = None
    guidance: _Strength | None = None
    tags: tuple[str, ...] = ()
    output: OutputSettings = OutputSettings()
    supabase: SupabaseSettings = SupabaseSettings()
    replicate: ReplicateSettings = ReplicateSettings()
    cost: CostSettings = CostSettings()
    memory: MemorySettings = MemorySettings()
    owner_user_id: UUID | None = None
    preview: Annotated[PreviewChoice, BeforeValidator(_switch)] = "auto"
    sources: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)

    @field_validator("backend")
    @classmethod
    def _has_type(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, dict) and not isinstance(value.get("type"), str):
            raise ValueError("no type")
        if isinstance(value, dict) and isinstance(token := value.get("api_token"), str):
            return value | {"api_token": SecretStr(token)}
        return value

    @field_validator("tags", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()]
            if isinstance(value, str)
            else value
        )

    def backend_choice(self) -> tuple[str, dict[str, Any]]:
        """The backend's name and its options."""
        if isinstance(self.backend, str):
            return self.backend, {}
        options = dict(self.backend)
        return options.pop("type"), options

    def options_of(self, backend: str) -> dict[str, Any]:
        """What every backend of a kind is made with: those of a hosting service, and local FLUX."""
        if not backend.endswith("-replicate"):
            memory = self.memory.given()
            return {"memory": memory} if memory and backend.startswith("flux") else {}
        return {name: value for name, value in self.replicate if value is not None}

    def shown(self) -> Iterator[tuple[str, str, str]]:
        """Every key, its value as text (secrets masked) and where the value came from."""
        for key in keys():
            value: Any = self
            for part in key.split("."):
                value = getattr(value, part)
            yield (
                key,
                "" if value is None else str(value),
                self.sources.get(key, "default"),
            )


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Every key, dotted, e.g. output.dir."""
    found = []
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            found += keys(part, f"{name}.")
        elif name != "sources":
            found.append(prefix + name)
    return found


@functools.cache
def groups() -> frozenset[str]:
    """The keys that hold other keys: output, supabase and so on."""
    return frozenset(key.partition(".")[0] for key in keys() if "." in key)


def environment_name(key: str) -> str:
    """The environment variable of a key, e.g. IMAGEN_OUTPUT_DIR."""
    return ENVIRONMENT.get(key, "IMAGEN_" + key.upper().replace(".", "_"))


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file in force: $IMAGEN_CONFIG, or ~/.config/imagen.yaml."""
    if named := environ.get("IMAGEN_CONFIG"):
        return Path(os.path.expanduser(named))
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return (
        Path(os.path.expanduser(base)) / "imagen.yaml"
    )  # which keeps ~ where there is no home


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings in force. `arguments` is nested as the file is; what is empty is not given.

    Raises `ConfigError` for the first thing that cannot be used, naming file, line and key.
    """
    layers = _layers(arguments or {}, path, environ)
    settings, problems = _merged(layers)
    if problems:
        raise ConfigError(str(problems[0]))
    assert settings is not None
    return settings


def validate(path: Path) -> list[Problem]:
    """Every problem of one file, in the order of its lines; empty when it is good."""
    values, lines, problems = read_yaml(path)
    if problems:
        return problems
    return _merged([_Layer(str(path), _flat(values), lines)])[1]


@dataclass(frozen=True, slots=True)
class _Layer:
    source: str
    values: dict[str, Any]
    lines: Mapping[str, Line]

    def problem(self, key: str, expected: str) -> Problem:
        return Problem(self.source, self.lines.get(key), shown(key), expected)


def _layers(
    arguments: Mapping[str, Any], path: Path | None, environ: Mapping[str, str]
) -> list[_Layer]:
    """Weakest first: file, environment, arguments."""
    layers = []
    file = path or config_path(environ)
    named = path is not None or bool(environ.get("IMAGEN_CONFIG"))
    if named or file.exists():
        values, lines, problems = read_yaml(file)
        if problems:
            raise ConfigError(str(problems[0]))
        layers.append(_Layer(str(file), _flat(values), lines))
    for key in keys():
        if value := environ.get(environment_name(key)):
            layers.append(_Layer(f"${environment_name(key)}", {key: value}, {}))
    return [*layers, _Layer("argument", _flat(arguments), {})]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as dotted keys; `backend` and unknown mappings stay whole."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if not prefix and name in groups() and isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _merged(layers: list[_Layer]) -> tuple[Settings | None, list[Problem]]:
    """The settings of all layers together, or None with what is wrong in them."""
    known = set(keys())
    merged: dict[str, Any] = {}
    owner: dict[str, _Layer] = {}
    problems = []
    for layer in layers:
        for key, value in layer.values.items():
            if key in known and not _empty(value):
                merged[key], owner[key] = value, layer
            elif key not in known and (expected := _misplaced(key, value, known)):
                problems.append(layer.problem(key, expected))
    try:
        settings = Settings.model_validate(_nested(merged))
    except ValidationError as error:
        wrong = dict.fromkeys(_owned_key(item["loc"], owner) for item in error.errors())
        problems += [owner[key].problem(key, _expected(key)) for key in wrong]
        return None, sorted(problems, key=lambda p: p.line.number if p.line else 0)
    sources = {key: layer.source for key, layer in owner.items()}
    return settings.model_copy(update={"sources": sources}), problems


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _misplaced(key: str, value: Any, known: set[str]) -> str:
    """What to say of a key that is none; nothing when it is a group, its lines commented out."""
    if key in groups():
        return (
            "expected indented lines of `key: value` below it"
            if value is not None
            else ""
        )
    if ":" in key:
        return "expected a space after the colon"
    return f"unknown key{nearest(shown(key), known)}"


def _owned_key(location: tuple[int | str, ...], owner: Mapping[str, _Layer]) -> str:
    dotted = [str(part) for part in location]
    full = ".".join(dotted[:2])
    return full if full in owner else dotted[0]


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        group, dot, name = key.rpartition(".")
        (nested.setdefault(group, {}) if dot else nested)[name] = value
    return nested


def _expected(key: str) -> str:
    return f"expected {EXPECTED.get(key, 'text')}"
