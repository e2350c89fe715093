"""The arguments of a pipeline's call, by name, and the defaults of its signature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagen_nb.studio.autolog.noise import Generators, generators_of

_NO_ARGUMENTS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class CallArguments:
    """One call's arguments. `generators` is read before the call, which changes them.

    `arguments["steps"]` is the given value, or the default if None was given.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    generators: Generators = field(default_factory=Generators)

    def __getitem__(self, name: str) -> Any:
        value = self.given.get(name)
        return self.defaults.get(name) if value is None else value

    def completed_by(self, inner: Sequence[CallArguments]) -> CallArguments:
        """Add what the pipeline gave to its parent's `__call__`, if it did so once.

        `inner`: the arguments of these calls.
        """
        if len(inner) != 1:
            return self
        (parent,) = inner
        own = {name: value for name, value in self.given.items() if value is not None}
        seeds_itself = "generator" in own or "latents" in own
        return CallArguments(
            {**parent.given, **own},
            {**self.defaults, **parent.defaults},
            self.generators if seeds_itself else parent.generators,
        )


def arguments_of_call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> CallArguments:
    """Return the arguments of a method's call by name, without `self`.

    `args` begin with the instance. Raises TypeError if they do not fit the signature.
    """
    signature = _cached_signature(function)
    bound = signature.bind(*args, **kwargs).arguments
    parameters = signature.parameters.values()
    var_keyword = [p.name for p in parameters if p.kind is p.VAR_KEYWORD]
    others = bound.pop(var_keyword[0], _NO_ARGUMENTS) if var_keyword else _NO_ARGUMENTS
    given = {**bound, **others}
    given.pop(next(iter(signature.parameters), ""), None)  # self
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    generators = generators_of(given.get("generator"), given.get("latents"))
    return CallArguments(given, defaults, generators)


@functools.lru_cache(maxsize=64)
def _cached_signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
