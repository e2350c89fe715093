"""What was said to a pipeline: the arguments of a call, by name, and its signature's defaults."""

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
    """One call's arguments. `generators` is read before the call, which changes them."""

    given: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    generators: Generators = field(default_factory=Generators)

    def __getitem__(self, name: str) -> Any:
        value = self.given.get(name)
        return self.defaults.get(name) if value is None else value

    def within(self, inner: Sequence[CallArguments]) -> CallArguments:
        """What a subclass was told, completed by what it told its parent, if it did so once."""
        if len(inner) != 1:
            return self
        (told,) = inner
        values = {
            name: value for name, value in self.given.items() if value is not None
        }
        mine = "generator" in values or "latents" in values
        return CallArguments(
            {**told.given, **values},
            {**self.defaults, **told.defaults},
            self.generators if mine else told.generators,
        )


def arguments_of_call(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> CallArguments:
    """The arguments of a method's call, itself included. Raises `TypeError` if they do not fit."""
    signature = _cached_signature(function)
    bound = signature.bind(*args, **kwargs).arguments
    loose = [p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    more = bound.pop(loose[0], _NO_ARGUMENTS) if loose else _NO_ARGUMENTS
    given = {**bound, **more}
    given.pop(next(iter(signature.parameters), ""), None)  # self
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not parameter.empty
    }
    return CallArguments(
        given, defaults, generators_of(given.get("generator"), given.get("latents"))
    )


@functools.lru_cache(maxsize=64)
def _cached_signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
