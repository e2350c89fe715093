"""Checks the shape of the package: names, rooms and sizes that docs/architecture.md promises.

    python tools/lint_house.py            what is wrong, a line each; exit code 1 if anything is
    python tools/lint_house.py --names    every name that several modules define

What imports what is checked by import-linter (pyproject.toml).
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "imagen_nb"
MAX_ENTRIES = 16  # of the package's own folder
MAX_LINES = 350  # of a module
_LISTED = re.compile(r"^    (\w+(?:\.\w+)*): ", re.MULTILINE)
_USED_BY_OTHERS = "Other rooms use:\n"

_SHORTCUT = "the command, the function and the method of Studio have one name"
_SUPABASE = "the command is named as the function that it calls"
_FACTORY = "what entry points name: the same model, here and hosted"
INTENDED = {  # names that several modules define on purpose, with the reason
    "__all__": "the public names of a module that re-exports",
    "T": "a type variable, named as typing does",
    "Job": "of a batch, and of another machine: in each room the word for it",
    "R": "a type variable, named as typing does",
    "app": "a group of commands, named as typer does",
    **dict.fromkeys(
        (
            *("generate", "sweep", "reproduce", "history", "report", "tag", "sync"),
            *("delete", "restore", "adopt", "find", "embed", "vote", "votes"),
            "train_lora",
        ),
        _SHORTCUT,
    ),
    "reindex": _SHORTCUT,
    **dict.fromkeys(("start", "stop", "status"), _SUPABASE),
    **dict.fromkeys(("schnell", "dev"), _FACTORY),
}


class Module:
    """One file of the package. `name` is dotted, without the package's own name."""

    def __init__(self, path: Path, package: Path) -> None:
        self.path = path
        parts = path.relative_to(package).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)

    @property
    def room(self) -> str:
        """The folder, or the file, at the package's root that it belongs to."""
        return self.name.partition(".")[0]

    def definitions(self) -> Iterator[str]:
        """The functions, classes and variables of the module's top level."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                yield node.name
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id
            elif isinstance(node, ast.Assign):
                targets = (
                    inner for target in node.targets for inner in ast.walk(target)
                )
                yield from (each.id for each in targets if isinstance(each, ast.Name))

    def imports(self) -> Iterator[str]:
        """The dotted names of this package that it imports or names, in functions too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value  # the module that a function imports when it is needed


def load_modules(root: Path) -> list[Module]:
    """Every module of the package in this checkout, in the order of their paths."""
    package = root / PACKAGE
    return [Module(path, package) for path in sorted(package.rglob("*.py"))]


def repeated_names(modules: list[Module]) -> dict[str, list[str]]:
    """Names that several modules define, each with these modules."""
    homes: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        for name in module.definitions():
            homes[name].add(module.name or PACKAGE)
    return {name: sorted(them) for name, them in homes.items() if len(them) > 1}


def check_names(modules: list[Module]) -> Iterator[str]:
    """A line for each name that has several meanings, or is wrongly on the list of INTENDED."""
    repeated = repeated_names(modules)
    for name, homes in sorted(repeated.items()):
        if name not in INTENDED:
            yield f"{name} is defined in {', '.join(homes)}: give each its own name"
    for name in sorted(INTENDED.keys() - repeated.keys()):
        yield f"{name} is on the list of tools/lint_house.py and no longer defined twice"


def check_rooms(modules: list[Module]) -> Iterator[str]:
    """A line for each module that another room uses and its own room does not list."""
    known = {module.name for module in modules}
    used: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        for imported in module.imports():
            target = _module_of(imported, known)
            room, _, inside = target.partition(".")
            if inside and room != module.room:
                used[room].add(inside)
    for module in modules:
        if (
            module.path.name != "__init__.py"
            or module.name != module.room
            or not module.name
        ):
            continue
        listed = set(_listed(module))
        for inside in sorted(used[module.name] - listed):
            yield f"{module.name}/__init__.py does not list {inside}, which other rooms use"
        for inside in sorted(listed - used[module.name]):
            yield f"{module.name}/__init__.py lists {inside}, which no other room uses"


def _module_of(imported: str, known: set[str]) -> str:
    """The module that an imported name is, or is defined in; "" outside the package."""
    if not imported.startswith(f"{PACKAGE}."):
        return ""
    name = imported.removeprefix(f"{PACKAGE}.")
    return name if name in known else name.rpartition(".")[0]


def _listed(module: Module) -> list[str]:
    text = ast.get_docstring(module.tree) or ""
    return _LISTED.findall(text.partition(_USED_BY_OTHERS)[2])


def check_sizes(root: Path, modules: list[Module]) -> Iterator[str]:
    """A line for each module that is too long, and for a root that is too crowded."""
    entries = [each for each in (root / PACKAGE).iterdir() if _holds_files(each)]
    if len(entries) > MAX_ENTRIES:
        yield f"{PACKAGE}/ has {len(entries)} entries, more than {MAX_ENTRIES}"
    for module in modules:
        lines = module.text.count("\n")
        if lines > MAX_LINES:
            yield f"{module.path.relative_to(root)} has {lines} lines, more than {MAX_LINES}"
        if "# fmt: skip" in module.text:
            yield f"{module.path.relative_to(root)} skips the formatter: write it out"


def _holds_files(path: Path) -> bool:
    """Whether it is a file, or a folder with more than what Python compiled."""
    if path.is_file():
        return True
    files = (each for each in path.rglob("*") if each.is_file())
    return any(each.parent.name != "__pycache__" for each in files)


def check(root: Path) -> list[str]:
    """Everything that is wrong with the shape of the package in this checkout, a line each."""
    modules = load_modules(root)
    return [*check_names(modules), *check_rooms(modules), *check_sizes(root, modules)]


def main() -> int:
    """The exit code: 1 if anything is wrong."""
    root = Path(__file__).parent.parent
    if "--names" in sys.argv:
        for name, homes in sorted(repeated_names(load_modules(root)).items()):
            print(f"{name}: {', '.join(homes)}")
        return 0
    problems = check(root)
    print("\n".join(problems) or "the house is in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
