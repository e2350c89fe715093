"""The settings of a frame's pictures, each as a column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import UsageError
from imagen_nb.frames.effects.outcomes import ON_LATENCY, STRENGTH_COLUMN
from imagen_nb.frames.effects.record_settings import (
    INPUTS,
    IS_KNOWN,
    LORA_PREFIX,
)
from imagen_nb.frames.schema import text_or_empty
from imagen_nb.system.spelling import describe_meant

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SIZE_SETTING = "size"
_HOW_TO_FETCH = "im.history(sidecar=True) fetches them"
_OF_LOOK = (  # of a picture's look, in the order in which they are told
    "model",
    "backend",
    "steps",
    "guidance",
    "true_cfg",
    "scheduler",
    SIZE_SETTING,
    STRENGTH_COLUMN,
    "max_sequence_length",
    "negative_prompt",
)
_OF_TIME = (
    "batch_size",
    "device",
    "dtype",
    "threads",
)  # what else a latency depends on
_COMPARED_WITHIN = ("prompt", "seed")


def setting_columns(
    frame: pd.DataFrame,
    records: pd.DataFrame | None,
    on: str,
    asked: Sequence[str],
) -> dict[str, pd.Series[Any]]:
    """Return the settings that are looked at, by name.

    Args:
        frame: its columns come first.
        records: what only records have, as `load_record_settings` gives it.
        on: what is compared, which is no setting.
        asked: names of settings; they may be any columns of the frame.

    Raises:
        UsageError: for a name that is neither a column nor a known setting.
    """
    known = _known_columns(frame, records)
    usual = [*_OF_LOOK, *(_OF_TIME if on == ON_LATENCY else ())]
    others = [name for name in known if name.startswith(LORA_PREFIX)]
    if records is not None:
        plain = {*_OF_LOOK, *_OF_TIME, INPUTS, IS_KNOWN, *others}
        others += [name for name in records.columns if name not in plain]
    names = [name for name in (*usual, *others) if name in known and name != on]
    for name in asked:
        _require_known_setting(name, [*known, *map(str, frame.columns), *usual])
        if name not in names and (name in known or name in frame.columns):
            names.append(name)
    found = {name: frame[name] if name not in known else known[name] for name in names}
    return _without_twin_backend(found, asked)


def _known_columns(
    frame: pd.DataFrame, records: pd.DataFrame | None
) -> dict[str, pd.Series[Any]]:
    known: dict[str, pd.Series[Any]] = {}
    if records is not None:
        known = {str(name): records[name] for name in records.columns}
    known |= {
        name: frame[name]
        for name in (*_OF_LOOK, *_OF_TIME)
        if name in frame.columns
        and name != STRENGTH_COLUMN  # of a ranking, unless asked for
    }
    known |= {
        str(name): frame[name]
        for name in frame.columns
        if str(name).startswith(LORA_PREFIX)
    }
    if {"width", "height"} <= {*frame.columns} and SIZE_SETTING not in frame.columns:
        wide, high = (
            frame[name].astype("Int64").astype("str") for name in ("width", "height")
        )
        sizes = wide + "×" + high
        known[SIZE_SETTING] = sizes.where(
            frame["width"].notna() & frame["height"].notna()
        )
    return known


def _require_known_setting(name: str, known: Iterable[str]) -> None:
    if name in _COMPARED_WITHIN:
        raise UsageError(
            f"{name} is what pictures are compared within, and no setting"
            + ("; words=True compares words of prompts" if name == "prompt" else "")
        )
    names = [*dict.fromkeys(known)]
    if name not in names:
        hint = describe_meant(name, names) or ": settings are columns of the frame"
        raise UsageError(f"there is no setting {name!r}{hint}")


def _without_twin_backend(
    columns: dict[str, pd.Series[Any]], asked: Sequence[str]
) -> dict[str, pd.Series[Any]]:
    """Return the settings without the backend where it only says again what the model is.

    Or without the model, where that is not known; neither is left out that is asked for.
    """
    if {"model", "backend"} <= columns.keys() and not {"model", "backend"} & {*asked}:
        models, backends = (
            [*map(text_or_empty, columns[name].astype(object))]
            for name in ("model", "backend")
        )
        if len({*zip(models, backends, strict=True)}) == len({*models}):
            del columns["backend"]
        elif len({*zip(models, backends, strict=True)}) == len({*backends}):
            del columns["model"]
    return columns


def with_known_records(
    records: pd.DataFrame | None,
) -> tuple[NDArray[np.bool_] | None, str]:
    """Return which rows have a record, and a note on those that are left out.

    None for the rows if records are not used, as most are not known.
    """
    if records is None:
        return None, ""
    known = records[IS_KNOWN].to_numpy(bool)
    missing = int((~known).sum())
    if 2 * missing > len(known):
        return None, f"guidance, LoRAs and what else only records hold: {_HOW_TO_FETCH}"
    if missing:
        return (
            known,
            f"{missing:,} pictures were left out without records: {_HOW_TO_FETCH}",
        )
    return known, ""
