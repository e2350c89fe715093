"""Settings: arguments over environment over imagen.yaml over defaults; secrets never print."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from imagen_nb.backends.flux.memory.keys import MEMORY_KEYS
from imagen_nb.config.groups import (
    BackgroundChoice,
    CloudSyncChoice,
    CostSettings,
    FindSettings,
    MemorySettings,
    NonNegativeNumber,
    OutputSettings,
    PositiveCount,
    PreviewChoice,
    ProvenanceSettings,
    ReplicateSettings,
    ScoreSettings,
    SettingsGroup,
    SupabaseSettings,
    WorkSettings,
    on_or_off,
    split_names,
)
from imagen_nb.config.older_names import OLDER_NAMES, by_todays_name
from imagen_nb.config.yaml_file import (
    Line,
    Problem,
    describe_nearest,
    is_empty,
    printable_key,
    read_yaml,
)
from imagen_nb.errors import ConfigError
from imagen_nb.system.secret_text import is_secret_name, strip_secret

_MASK = "**********"  # as pydantic shows a secret
_EXPECTED_TEXT = "text without control characters, such as a line break, inside"

EXPECTED = {  # what a message asks for instead of a value that cannot be used
    "backend": "a name, or a mapping with `type` like {type: flux, model: /models/mine}; "
    "an `api_token` in it is text without control characters",
    "steps": "a whole number, 1 or more",
    "width": "a whole number of pixels, 1 or more",
    "height": "a whole number of pixels, 1 or more",
    "guidance": "a number, 0 or more",
    "tags": "words, as in [tests, blue]",
    "wildcards_dir": "a folder of text files",
    "lora_dirs": "folders, as in [~/loras, /models/loras]",
    "output.dir": "a folder",
    "output.cloud_sync": ", ".join(get_args(CloudSyncChoice)),
    **{
        f"supabase.{name}": _EXPECTED_TEXT
        for name in ("key", "email", "password", "database_url")
    },
    "supabase.url": "text without control characters, @, ? and #, like "
    "https://your-project.supabase.co: a key and a password have their own settings",
    "supabase.exit_seconds": "seconds, 0 or more",
    "replicate.api_token": _EXPECTED_TEXT,
    "replicate.timeout": "seconds, more than 0",
    "cost.prices": "US dollars for a picture of each backend, as in {flux-dev-replicate: 0.025}",
    "cost.watts": "watts, 0 or more, or nvml to ask the graphics card",
    "cost.usd_per_kwh": "US dollars, 0 or more",
    "provenance.c2pa": "true or false",
    "provenance.certificate": "a file of certificates in PEM",
    "provenance.private_key": "a file with a private key in PEM",
    "provenance.prompt": "true or false",
    "provenance.watermark": "true or false",
    "find.embedder": "a name, a folder or a Hugging Face id, as in docs/plugins.md",
    "find.background": ", ".join(get_args(BackgroundChoice)),
    "score.aesthetic": "a file, safetensors or as torch.save writes it",
    "work.backends": "names of `imagen models`, as in [flux-dev-local, flux-schnell-local]",
    "work.max_pixels": "a whole number of pixels, 1 or more",
    "work.max_steps": "a whole number, 1 or more",
    "work.lease_seconds": "seconds, a whole number from 1 to 3600",
    **{f"memory.{name}": key.takes for name, key in MEMORY_KEYS.items()},
    "owner_user_id": "a UUID like 3f1c9a52-0d4e-4b7a-9c11-5e8f2a6b7c0d",
    "preview": ", ".join(get_args(PreviewChoice)),
}
ENVIRONMENT_NAMES = {  # names that other programs use too, or that people type
    "output.cloud_sync": "IMAGEN_CLOUD_SYNC",
    "supabase.url": "SUPABASE_URL",
    "supabase.key": "SUPABASE_KEY",
    "supabase.database_url": "SUPABASE_DB_URL",
    "replicate.api_token": "REPLICATE_API_TOKEN",
    "imagen_user_id": "IMAGEN_USER_ID",
}


class Settings(SettingsGroup):
    """Everything that can be configured. `sources`: where each value but the defaults came from."""

    backend: str | dict[str, Any] = "auto"
    steps: PositiveCount | None = None
    width: PositiveCount | None = None
    height: PositiveCount | None = None
    guidance: NonNegativeNumber | None = None
    tags: tuple[str, ...] = ()
    lora_dirs: tuple[str, ...] = ()
    wildcards_dir: str | None = None
    output: OutputSettings = OutputSettings()
    supabase: SupabaseSettings = SupabaseSettings()
    replicate: ReplicateSettings = ReplicateSettings()
    cost: CostSettings = CostSettings()
    memory: MemorySettings = MemorySettings()
    provenance: ProvenanceSettings = ProvenanceSettings()
    find: FindSettings = FindSettings()
    score: ScoreSettings = ScoreSettings()
    work: WorkSettings = WorkSettings()
    owner_user_id: UUID | None = None
    preview: Annotated[PreviewChoice, BeforeValidator(on_or_off)] = "auto"
    sources: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)

    @field_validator("backend")
    @classmethod
    def _has_type(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        if isinstance(value, dict) and not isinstance(value.get("type"), str):
            raise ValueError("no type")
        try:
            _masked(value)
        except RecursionError:
            raise ValueError("a mapping that holds itself") from None
        token = value.get("api_token") if isinstance(value, dict) else None
        if not isinstance(value, dict) or token is None or isinstance(token, SecretStr):
            return value
        if not isinstance(token, str):
            raise ValueError("no text")
        return value | {"api_token": SecretStr(strip_secret(token))}

    @field_validator("tags", "lora_dirs", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_names(value)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what the repr shows."""
        for name, value in super().__repr_args__():
            yield name, _masked(value)

    def backend_choice(self) -> tuple[str, dict[str, Any]]:
        """Return the configured backend's name and its options."""
        if isinstance(self.backend, str):
            return self.backend, {}
        options = dict(self.backend)
        return options.pop("type"), options

    def options_of(self, backend: str) -> dict[str, Any]:
        """Return the options that this backend gets from `replicate` or `memory`."""
        if not backend.endswith("-replicate"):
            memory = self.memory.given()
            return {"memory": memory} if memory and backend.startswith("flux") else {}
        return {name: value for name, value in self.replicate if value is not None}

    def shown(self) -> Iterator[tuple[str, str, str]]:
        """Yield every key, its value as text (secrets masked) and the value's source."""
        for key in setting_keys():
            value: Any = self
            for part in key.split("."):
                value = getattr(value, part)
            text = "" if value is None else str(_masked(value))
            yield key, text, self.sources.get(key, "default")


def _masked(value: Any) -> Any:
    """Return a backend's options without those whose name tells of a secret."""
    if isinstance(value, list | tuple):
        return type(value)(map(_masked, value))
    if not isinstance(value, dict):
        return value
    return {
        name: _MASK if name == "key" or is_secret_name(str(name)) else _masked(item)
        for name, item in value.items()
    }


def setting_keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return every key, dotted, e.g. output.dir."""
    found = []
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            found += setting_keys(part, f"{name}.")
        elif name != "sources":
            found.append(prefix + name)
    return found


@functools.cache
def setting_groups() -> frozenset[str]:
    """Return the keys that hold other keys: output, supabase and so on."""
    return frozenset(key.partition(".")[0] for key in setting_keys() if "." in key)


def environment_name(key: str) -> str:
    """Return the environment variable of a key, e.g. IMAGEN_OUTPUT_DIR."""
    return ENVIRONMENT_NAMES.get(key, "IMAGEN_" + key.upper().replace(".", "_"))


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the configuration file in force: $IMAGEN_CONFIG or ~/.config/imagen.yaml."""
    if named := environ.get("IMAGEN_CONFIG"):
        return Path(os.path.expanduser(named))
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    folder = Path(os.path.expanduser(base))  # which keeps ~ where there is no home
    return folder / "imagen.yaml"


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings in force: arguments over environment over file over defaults.

    Args:
        arguments: nested as the file is; empty values count as not given.
        path: the configuration file, instead of `config_path(environ)`.
        environ: the environment variables.

    Raises:
        ConfigError: for the first value that cannot be used, naming file, line and key.
    """
    layers = _layers(arguments or {}, path, environ)
    settings, problems = _merged(layers)
    if problems:
        raise ConfigError(str(problems[0]))
    assert settings is not None
    return settings


def validate_file(path: Path) -> list[Problem]:
    """Return every problem of one file, in the order of its lines."""
    values, lines, problems = read_yaml(path)
    if problems:
        return problems
    return _merged([_Layer(str(path), _flattened(values), lines)])[1]


@dataclass(frozen=True, slots=True)
class _Layer:
    source: str
    values: dict[str, Any]
    lines: Mapping[str, Line]

    def problem(self, key: str, expected: str) -> Problem:
        return Problem(self.source, self.lines.get(key), printable_key(key), expected)


def _layers(
    arguments: Mapping[str, Any], path: Path | None, environ: Mapping[str, str]
) -> list[_Layer]:
    """Return the layers, weakest first: file, environment, arguments."""
    layers = []
    file = path or config_path(environ)
    named = path is not None or bool(environ.get("IMAGEN_CONFIG"))
    if named or file.exists():
        values, lines, problems = read_yaml(file)
        if problems:
            raise ConfigError(str(problems[0]))
        layers.append(_Layer(str(file), _flattened(values), lines))
    for key in (*OLDER_NAMES, *setting_keys()):
        if value := environ.get(environment_name(key)):
            layers.append(_Layer(f"${environment_name(key)}", {key: value}, {}))
    return [*layers, _Layer("argument", _flattened(arguments), {})]


def _flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted keys; `backend` and unknown mappings stay whole."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if not prefix and name in setting_groups() and isinstance(value, Mapping):
            flat |= _flattened(value, f"{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _merged(layers: list[_Layer]) -> tuple[Settings | None, list[Problem]]:
    """Return the settings of all layers together, or None and what is wrong in them."""
    known = set(setting_keys())
    merged: dict[str, Any] = {}
    owner: dict[str, tuple[_Layer, str]] = {}  # whose value counts, and its name there
    problems = []
    for layer in layers:
        for name, key, value in by_todays_name(layer.values):
            if key in known and not is_empty(value):
                merged[key], owner[key] = value, (layer, name)
            elif key not in known:
                expected = _misplaced(key, value, known)
                problems += [layer.problem(key, expected)] if expected else []
    try:
        settings = Settings.model_validate(_nested(merged))
    except ValidationError as error:
        wrong = dict.fromkeys(_owned_key(item["loc"], owner) for item in error.errors())
        for key in wrong:
            layer, name = owner[key]
            problems.append(layer.problem(name, _expected(key)))
        return None, sorted(problems, key=lambda p: p.line.number if p.line else 0)
    sources = {key: layer.source for key, (layer, _) in owner.items()}
    return settings.model_copy(update={"sources": sources}), problems


def _misplaced(key: str, value: Any, known: set[str]) -> str:
    """Explain an unknown key; "" for a group whose lines are all commented out."""
    if key in setting_groups() and value is None:
        return ""
    if key in setting_groups():
        return "expected indented lines of `key: value` below it"
    if ":" in key:
        return "expected a space after the colon"
    return f"unknown key{describe_nearest(printable_key(key), known)}"


def _owned_key(location: tuple[int | str, ...], owner: Mapping[str, object]) -> str:
    dotted = [str(part) for part in location]
    full = ".".join(dotted[:2])
    return full if full in owner else dotted[0]


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        group, _, name = key.rpartition(".")
        values = nested.setdefault(group, {}) if group else nested
        values[name] = value
    return nested


def _expected(key: str) -> str:
    return f"expected {EXPECTED.get(key, 'text')}"
