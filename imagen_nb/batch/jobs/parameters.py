"""What a notebook takes: its `parameters` cell, and jobs checked against it before any runs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from imagen_nb.batch.jobs.tables import JobRow
from imagen_nb.errors import UsageError
from imagen_nb.request.sweep_syntax import parse_ints

if TYPE_CHECKING:
    from nbformat import NotebookNode

_MAX_PROBLEMS_SHOWN = 20  # problems in one message
_PARAMETER_TYPES = ("str", "int", "float", "bool", "list", "dict")
_TYPE_OF_ANNOTATION = {"tuple": "list", "Sequence": "list", "Mapping": "dict"} | dict(
    zip(_PARAMETER_TYPES, _PARAMETER_TYPES, strict=True)
)
_BOOL_WORDS = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}
_SECRET_WORDS = {
    "password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "credentials",
    "apikey", "jwt", "bearer",
}  # fmt: skip
_SECRET_VALUE = re.compile(
    r"(sb_secret_|hf_|r8_|sk-|ghp_|github_pat_|eyJ[\w-]+\.eyJ)\S+"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One name of the parameters cell. `kinds`: the types it takes; empty where nobody says."""

    name: str
    kinds: frozenset[str] = frozenset()
    required: bool = False

    def read(self, text: str) -> Any:
        """The value that a text of a CSV file means. Raises `ValueError` when it means none."""
        if not self.kinds or "str" in self.kinds:
            return text
        for kind in ("bool", "int", "float", "list", "dict"):
            if kind in self.kinds:
                try:
                    return _TEXT_PARSERS[kind](text.strip())
                except (ValueError, KeyError):
                    continue
        raise ValueError(text)

    def checked(self, value: Any) -> Any:
        """The value, a whole float as the int that is wanted. Raises `ValueError` for others."""
        if not self.kinds or _type_name(value) in self.kinds:
            return value
        if isinstance(value, float) and value.is_integer() and "int" in self.kinds:
            return int(value)
        if _type_name(value) == "int" and "float" in self.kinds:
            return float(value)
        raise ValueError(value)

    @property
    def wanted(self) -> str:
        """Its types in words."""
        return " or ".join(kind for kind in _PARAMETER_TYPES if kind in self.kinds)


def _list_from_text(text: str) -> list[Any]:
    """A JSON list, or words with commas between them."""
    if text.startswith("["):
        found = json.loads(text)
        if isinstance(found, list):
            return found
        raise ValueError(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _dict_from_text(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)
    return found


_TEXT_PARSERS: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: _BOOL_WORDS[text.lower()],
    "int": int,
    "float": float,
    "list": _list_from_text,
    "dict": _dict_from_text,
}


def _type_name(value: Any) -> str:
    return type(value).__name__


def notebook_parameters(notebook: NotebookNode) -> list[Parameter]:
    """The names of the cell tagged `parameters`, in order. Raises `UsageError` without one."""
    cells = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())
    ]
    if not cells:
        raise UsageError(
            "the notebook has no cell tagged `parameters`: in JupyterLab select the cell that "
            "assigns them and add this tag in the property inspector"
        )
    try:
        tree = ast.parse(cells[0].source, type_comments=True)
    except SyntaxError:  # another language, or magics
        return _papermill_parameters(notebook)
    return [
        found for statement in tree.body for found in _assigned_parameters(statement)
    ]


def _papermill_parameters(notebook: NotebookNode) -> list[Parameter]:
    import papermill

    return [Parameter(name) for name in papermill.inspect_notebook(notebook)]


def _assigned_parameters(statement: ast.stmt) -> Iterable[Parameter]:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield _parameter_of_assignment(
            statement.target.id, statement.annotation, statement.value
        )
    elif isinstance(statement, ast.Assign):
        annotation = _type_in_comment(statement.type_comment)
        for target in statement.targets:
            if isinstance(target, ast.Name):
                yield _parameter_of_assignment(target.id, annotation, statement.value)


def _type_in_comment(comment: str | None) -> ast.expr | None:
    """The type in `# type: int|None what it is for`, which papermill reads up to a blank."""
    return _parse_type((comment or "").partition(" ")[0])


def _parse_type(text: str) -> ast.expr | None:
    """A type that is written as text; None where that is none."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None


def _parameter_of_assignment(
    name: str, annotation: ast.expr | None, value: ast.expr | None
) -> Parameter:
    """Required is what has no value of its own: `...`, or None where its type does not allow it."""
    default = value.value if isinstance(value, ast.Constant) else value
    none = value is None or default is None
    if annotation is not None:
        kinds, optional = _types_of_annotation(annotation)
        return Parameter(
            name, kinds, default is ... or (none and bool(kinds) and not optional)
        )
    return Parameter(name, _types_of_default(value), default is ...)


def _types_of_annotation(annotation: ast.expr) -> tuple[frozenset[str], bool]:
    """The types that an annotation names, none when it names one that is not known; and None."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        read = _parse_type(annotation.value)
        return _types_of_annotation(read) if read else (frozenset(), True)
    names, optional = set(), False
    for part in _union_members(annotation):
        name = ast.unparse(part.value if isinstance(part, ast.Subscript) else part)
        if name == "None":
            optional = True
        else:
            names.add(_TYPE_OF_ANNOTATION.get(name.rpartition(".")[2]))
    return frozenset() if None in names else frozenset(filter(None, names)), optional


def _union_members(annotation: ast.expr) -> Iterable[ast.expr]:
    """The members of `A | B`, `Optional[A]` and `Union[A, B]`."""
    if isinstance(annotation, ast.BinOp):
        yield from _union_members(annotation.left)
        yield from _union_members(annotation.right)
    elif isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice
        if name == "Optional":
            yield ast.Constant(None)
            yield from _union_members(inner)
        elif name == "Union" and isinstance(inner, ast.Tuple):
            for part in inner.elts:
                yield from _union_members(part)
        else:
            yield annotation
    else:
        yield annotation


def _types_of_default(value: ast.expr | None) -> frozenset[str]:
    """The type of a default that is written out; none of None, which takes any."""
    try:
        found = _type_name(ast.literal_eval(value)) if value is not None else ""
    except ValueError:
        return frozenset()
    kind = "list" if found == "tuple" else found
    return frozenset({kind} & {*_PARAMETER_TYPES})


def validated_rows(
    rows: Sequence[JobRow], known: Sequence[Parameter]
) -> list[dict[str, Any]]:
    """The values of each row, as the notebook takes them.

    Raises one `UsageError` that lists all that is unknown, missing, of the wrong type, or secret.
    """
    by_name = {parameter.name: parameter for parameter in known}
    problems = [*_column_problems(rows, by_name)]
    values = []
    for row in rows:
        values.append(_validated_row(row, by_name, problems))
    if problems:
        more = (
            f"; and {len(problems) - _MAX_PROBLEMS_SHOWN} more"
            if len(problems) > _MAX_PROBLEMS_SHOWN
            else ""
        )
        raise UsageError(
            f"no job was run: {'; '.join(problems[:_MAX_PROBLEMS_SHOWN])}{more}"
        )
    return values


def _column_problems(
    rows: Sequence[JobRow], known: Mapping[str, Parameter]
) -> Iterable[str]:
    """What is wrong with whole columns."""
    for name in dict.fromkeys(name for row in rows for name in row.values):
        if is_secret_name(name):
            yield (
                f"{name!r} looks like a secret, which would stand in every executed notebook: "
                "give it to the notebook by the environment"
            )
        elif name not in known:
            near = get_close_matches(name, known, 1)
            hint = (
                f" (did you mean {near[0]!r}?)"
                if near
                else f" (it has {', '.join(known)})"
            )
            yield f"the notebook has no parameter {name!r}{hint}"


def _validated_row(
    row: JobRow, known: Mapping[str, Parameter], problems: list[str]
) -> dict[str, Any]:
    values = {}
    for name, value in row.values.items():
        if name not in known:
            continue
        if isinstance(value, str) and _SECRET_VALUE.fullmatch(value):
            problems.append(f"{row.place}: the value of {name!r} looks like a secret")
            continue
        try:
            values[name] = _parameter_value(known[name], value, row.text)
        except ValueError:
            problems.append(
                f"{row.place}: {name} must be {known[name].wanted}, not {value!r:.60}"
            )
    problems += [
        f"{row.place}: {name!r} is missing"
        for name, parameter in known.items()
        if parameter.required and name not in row.values
    ]
    return values


def _parameter_value(parameter: Parameter, value: Any, text: bool) -> Any:
    return parameter.checked(parameter.read(value) if text else value)


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name looks like a secret: its last word says so."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_")
    words = [word for word in words if word]
    return bool(words) and (
        words[-1] in _SECRET_WORDS or (words[-1] == "key" and len(words) > 1)
    )


def grid_values(parameter: Parameter | None, value: Any) -> list[Any]:
    """The values that a grid varies a parameter over: a list's, a range's, or the one value."""
    if isinstance(value, str) and parameter and "int" in parameter.kinds:
        return [*parse_ints(value)]
    if not isinstance(value, list):
        return [value]
    whole = parameter is not None and parameter.kinds == {"list"}
    return (
        value if not whole or all(isinstance(part, list) for part in value) else [value]
    )
