"""The memory plan for a model on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagen_nb.backends.machine import sizes_of, this_machine
from imagen_nb.backends.memory import Machine, Plan, Planned, dtype_of, planned
from imagen_nb.backends.models import Model
from imagen_nb.errors import BackendError
from imagen_nb.system.paths import expanded


def plan_for(row: Model, given: Mapping[str, Any], machine: Machine | None = None) -> Planned:
    """The plan of a model on a machine, this one by default; what is `given` wins.

    Raises `BackendError` when no plan can be used, naming what each lacks.
    """
    here = machine or this_machine()
    plain = Plan(dtype=dtype_of(here, row.cpu_dtype), batch=row.batch)
    if file := given.get("gguf"):
        path = expanded(file)
        plain = replace(plain, gguf_gb=path.stat().st_size / 1e9 if path.is_file() else 0.0)
    found = planned(here, sizes_of(row), plain, given)
    if isinstance(found, Planned):
        return found
    whys = "; ".join(dict.fromkeys(why for _, why in found))
    raise BackendError(f"no memory plan can be used for {row.recorded}: {whys}")
