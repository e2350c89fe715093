"""What this package asks for, by its own metadata, and what of it is installed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version

DISTRIBUTION = "imagen_nb"
_FOR_DEVELOPERS = (
    "dev",
    "docs",
    "test",
    "audit",
)  # extras that change nothing for users


@dataclass(frozen=True, slots=True)
class AskedLibrary:
    """A distribution that is asked for.

    `bounds`: the versions that do, e.g. ">=3". `version`: the one that is installed;
    None where there is none. `extra`: the one that asks for it; "" for every install.
    """

    name: str
    bounds: str
    version: str | None
    extra: str = ""

    @property
    def fits(self) -> bool:
        """Whether one is installed that is within the bounds."""
        from packaging.specifiers import SpecifierSet

        if self.version is None:
            return False
        return SpecifierSet(self.bounds).contains(self.version, prereleases=True)


def python_bounds() -> str:
    """Return the versions of Python that do, e.g. ">=3.11".

    Raise `PackageNotFoundError` where this package is not installed.
    """
    return str(metadata(DISTRIBUTION)["Requires-Python"])


def load_libraries() -> list[AskedLibrary]:
    """Return all that this package asks for on this machine, extras for users included.

    Takes some 30 ms. Raise `PackageNotFoundError` where it is not installed.

    Example:
        >>> [library.name for library in load_libraries() if library.extra == "lora"]
        ['peft']
    """
    from packaging.requirements import Requirement

    described = metadata(DISTRIBUTION)
    extras = described.get_all("Provides-Extra") or []
    found = []
    for requirement in map(Requirement, described.get_all("Requires-Dist") or []):
        for extra in ("", *extras):
            marker = requirement.marker
            if not _is_asked_for(str(marker or ""), extra):
                continue
            if marker is None or marker.evaluate({"extra": extra}):
                installed = _installed_version(requirement.name)
                bounds = str(requirement.specifier)
                found.append(AskedLibrary(requirement.name, bounds, installed, extra))
    return found


def _is_asked_for(marker: str, extra: str) -> bool:
    """Return whether a requirement belongs to this extra, or, for "", to none."""
    if extra in _FOR_DEVELOPERS:
        return False
    return ("extra" in marker) == bool(extra)


def _installed_version(name: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(name)
    return None


def pip_install(requirements: Iterable[str]) -> str:
    """Return the line that installs what is given, as a shell takes it.

    Example:
        >>> pip_install(["pandas>=3", "imagen_nb[lora]"])
        'pip install "pandas>=3" "imagen_nb[lora]"'
    """
    return " ".join(["pip install", *(f'"{one}"' for one in requirements)])
