"""Completion of a magic's options and their values, in notebooks and in IPython's terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import ImagenError

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult


def _backends() -> list[str]:
    from imagen_nb.backends import backend_names

    return ["auto", *backend_names()]


def _tags() -> list[str]:
    """Those of the session's folder, but for such as are no single word on a line."""
    from imagen_nb.storage.catalog import Catalog
    from imagen_nb.storage.tags import list_known_tags
    from imagen_nb.studio.default import studio
    from imagen_nb.system.paths import expanded

    tags = list_known_tags(Catalog(expanded(studio().settings.output.dir)))
    return [tag for tag in tags if tag.isprintable() and not set(tag) & set(" \"'{}$")]


def _schedulers() -> list[str]:
    from imagen_nb.backends.flux.schedulers import NAMES

    return [*NAMES]


_VALUES: dict[str, Callable[[], list[str]]] = {
    "--backend": _backends,
    "--scheduler": _schedulers,
    "--tag": _tags,
}


class Completion:
    """A matcher of IPython's completer, for the lines of one magic."""

    matcher_priority = 100  # before IPython's own, which take options for Python
    matcher_api_version = 2

    def __init__(self, magic: str, command: Callable[[], Any]) -> None:
        self.matcher_identifier = self.__qualname__ = (
            f"imagen_nb.{magic}"  # IPython reads both
        )
        self._line = re.compile(rf"^\s*(?:\w+\s*=\s*)?%%?{magic}\s(?:.*\s)?(\S*)$")
        self._command = command

    def __call__(self, context: CompletionContext) -> SimpleMatcherResult:
        """What may stand at the cursor; nothing within the prompt."""
        from IPython.core.completer import SimpleCompletion

        found = self._line.match(context.text_until_cursor)
        word = found[1] if found else ""
        before = context.text_until_cursor[: found.start(1)].split() if found else []
        known = sorted(self._known(before, word)) if before else []
        flag, equals, begun = word.rpartition("=")
        completions = [
            SimpleCompletion(flag + equals + one, type="param")
            for one in known
            if one.startswith(begun)
        ]
        return {"completions": completions, "matched_fragment": word, "suppress": True}

    def _known(self, before: list[str], word: str) -> Iterable[str]:
        flag = word.partition("=")[0] if "=" in word else before[-1]
        if values := _VALUES.get(flag):
            try:
                return values()
            except ImagenError:  # a folder that cannot be read has nothing to offer
                return []
        if not word.startswith("-"):
            return []
        return [
            name
            for one in self._command().params
            for name in one.opts
            if name[0] == "-"
        ]
