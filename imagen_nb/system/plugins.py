"""What other packages add: objects that their entry points name, by group and name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from imagen_nb.errors import ImagenError, UsageError
from imagen_nb.system.spelling import describe_meant


@dataclass(frozen=True, slots=True)
class PluginKind:
    """One kind of plug-in: what packages register under one entry point group.

    Looking names up loads no plug-in; only `load` imports one, when it is used.

    Attributes:
        word: what one is called in messages, "embedder".
        group: of the entry points, "imagen_nb.embedders".
        also: names that are taken where a name of this kind is, and are no entry point.

    Example:
        >>> PluginKind("scorer", "imagen_nb.scorers").load("sharpness")
    """

    word: str
    group: str
    also: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Return the registered names, sorted, each once."""
        return sorted({entry.name for entry in entry_points(group=self.group)})

    def require(self, name: str) -> None:
        """Raise `UsageError` unless the name is known; imports nothing."""
        if name not in [*self.names(), *self.also]:
            raise UsageError(self._describe_unknown(name))

    def find(self, name: str) -> Any | None:
        """Return what is registered as `name`; None if nothing is.

        Of several packages that register one name, the first on Python's path counts.
        Raise `ImagenError` if it cannot be imported.
        """
        for entry in entry_points(group=self.group, name=name):
            return self._loaded(entry)
        return None

    def load(self, name: str) -> Any:
        """Return what is registered as `name`, imported.

        Raises:
            UsageError: if there is none of this name, with the known ones and what was
                probably meant.
            ImagenError: if it cannot be imported.
        """
        found = self.find(name)
        if found is None:
            raise UsageError(self._describe_unknown(name))
        return found

    def _describe_unknown(self, name: str) -> str:
        known = [*self.names(), *self.also]
        if not known:
            return f"unknown {self.word} {name!r}: {self.describe_lacking()}"
        others = "".join(f", or {one}" for one in self.also)
        listed = ", ".join(self.names()) + others
        meant = describe_meant(name, known)
        return f"unknown {self.word} {name!r}: use one of {listed}{meant}"

    def describe_lacking(self) -> str:
        """Return that no plug-in of this kind is installed, and what to do."""
        return (
            f"no {self.word} is installed: install a package that has one"
            " (docs/plugins.md shows how to write it)"
        )

    def _loaded(self, entry: EntryPoint) -> Any:
        try:
            return entry.load()
        except ImagenError:  # it says itself what it needs
            raise
        except Exception as error:  # whatever the code of others raises
            package = entry.dist.name if entry.dist else entry.module
            raise ImagenError(
                f"the {self.word} {entry.name} of the package {package} cannot be"
                f" loaded: {type(error).__name__}: {error}"
            ) from error
