"""The check of imagen.yaml, which gives the settings for the other checks."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.errors import ConfigError
from imagen_nb.studio.checkup.row import CheckRow

if TYPE_CHECKING:
    from imagen_nb.config.settings import Settings


def check_configuration(
    config: Path | None, output: Path | None
) -> Generator[CheckRow, None, Settings]:
    """Yield whether the configuration can be used, and its secrets are secret.

    Return the settings in force, or the defaults where they cannot be used.
    """
    from imagen_nb.cloud.check import secret_warnings
    from imagen_nb.config.settings import Settings, config_path, load_settings

    file, arguments = config or config_path(), {"output": {"dir": output}}
    try:
        settings = load_settings(arguments, config)
    except ConfigError as error:
        mend = f"correct it; `imagen config validate --config {file}` names all"
        yield CheckRow("configuration", "wrong", str(error), mend, needed=True)
        return Settings.model_validate(arguments if output else {})
    warnings = [*secret_warnings(settings, file)]
    for warning in warnings:
        yield CheckRow("configuration", "wrong", f"{file} is not secret", warning)
    if not warnings:
        what = str(file) if file.exists() else f"defaults; there is no {file}"
        yield CheckRow("configuration", "good", what)
    return settings
