"""Parameters of a notebook, from its `parameters` cell, and the check of jobs on them.

The check comes before any job is run.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.batch.jobs.tables import JobRow, can_be_written
from imagen_nb.errors import UsageError
from imagen_nb.request.sweep_syntax import parse_ints
from imagen_nb.system.secret_text import is_secret_name
from imagen_nb.system.spelling import nearest_name

if TYPE_CHECKING:
    from nbformat import NotebookNode

_NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)
_MAX_PROBLEMS_SHOWN = 20  # in one message
_PARAMETER_TYPES = ("str", "int", "float", "bool", "list", "dict")
_TYPE_OF_ANNOTATION = {name: name for name in _PARAMETER_TYPES} | {
    "tuple": "list",
    "Sequence": "list",
    "Mapping": "dict",
}
_BOOL_WORDS = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}
_SECRET_VALUE = re.compile(
    r"(sb_secret_|hf_|r8_|sk-|ghp_|github_pat_|eyJ[\w-]+\.eyJ)\S+"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One name that the `parameters` cell assigns.

    Attributes:
        name: as the cell has it.
        types: the names of the types that it takes; empty if the cell states none.
        required: whether every job must give it.
    """

    name: str
    types: frozenset[str] = frozenset()
    required: bool = False

    def parse(self, text: str) -> Any:
        """Return the value that a cell of a CSV file stands for.

        Raises `ValueError` if the text is of none of the parameter's types.
        """
        if not self.types or "str" in self.types:
            return text
        for name in ("bool", "int", "float", "list", "dict"):
            if name in self.types:
                try:
                    return _TEXT_PARSERS[name](text.strip())
                except (ValueError, KeyError):
                    continue
        raise ValueError(text)

    def validated(self, value: Any) -> Any:
        """Return the value, as int or float where the parameter takes only the other.

        Raises `ValueError` if the value is of none of the parameter's types.
        """
        if not self.types or _type_name(value) in self.types:
            return value
        if isinstance(value, float) and value.is_integer() and "int" in self.types:
            return int(value)
        if _type_name(value) == "int" and "float" in self.types:
            with suppress(OverflowError):
                return float(value)
        raise ValueError(value)

    def describe_types(self) -> str:
        """Return the types in words, such as `int or float`."""
        return " or ".join(name for name in _PARAMETER_TYPES if name in self.types)


def _list_from_text(text: str) -> list[Any]:
    """Parse a JSON list, or words with commas between them."""
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    value = json.loads(text)
    if not isinstance(value, list):
        raise ValueError(text)
    return value


def _dict_from_text(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


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
    """Return the parameters that the cell tagged `parameters` assigns, in its order.

    Raises `UsageError` if there is no such cell. A cell that is not Python, or has
    magics in it, is read as papermill does, which finds no types.
    """
    cells = [
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())
    ]
    if not cells:
        raise UsageError(
            "the notebook has no cell tagged `parameters`: in JupyterLab select the "
            "cell that assigns them and add this tag in the property inspector"
        )
    try:
        statements = ast.parse(cells[0].source, type_comments=True).body
        return [one for each in statements for one in _assigned_parameters(each)]
    except _NOT_PYTHON:
        return _papermill_parameters(notebook)


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
    """Parse the type in `# type: int|None what it is for`; it ends at a blank."""
    return _parse_type((comment or "").partition(" ")[0])


def _parse_type(text: str) -> ast.expr | None:
    """Parse a type that is written as text; return None if it is not one."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None


def _parameter_of_assignment(
    name: str, annotation: ast.expr | None, value: ast.expr | None
) -> Parameter:
    """Return the parameter; it is required if it has no value of its own.

    That is `...`, or None where the annotation does not allow None.
    """
    default = value.value if isinstance(value, ast.Constant) else value
    is_none = value is None or default is None
    if annotation is None:
        return Parameter(name, _types_of_default(value), default is ...)
    types, optional = _types_of_annotation(annotation)
    required = default is ... or (is_none and bool(types) and not optional)
    return Parameter(name, types, required)


def _types_of_annotation(annotation: ast.expr) -> tuple[frozenset[str], bool]:
    """Return the types that an annotation names, and whether it allows None.

    If it names a type that is not known, there are no types: any value is taken.
    """
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        quoted = _parse_type(annotation.value)
        return _types_of_annotation(quoted) if quoted else (frozenset(), True)
    types: set[str] = set()
    optional, all_known = False, True
    for part in _union_members(annotation):
        name = ast.unparse(part.value if isinstance(part, ast.Subscript) else part)
        known = _TYPE_OF_ANNOTATION.get(name.rpartition(".")[2])
        if name == "None":
            optional = True
        elif known:
            types.add(known)
        else:
            all_known = False
    return frozenset(types) if all_known else frozenset(), optional


def _union_members(annotation: ast.expr) -> Iterable[ast.expr]:
    """Return the members of `A | B`, `Optional[A]` and `Union[A, B]`."""
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
    """Return the type of a default that is written out; none for None or a call."""
    if value is None:
        return frozenset()
    try:
        name = _type_name(ast.literal_eval(value))
    except (ValueError, TypeError):
        return frozenset()
    known = "list" if name == "tuple" else name
    return frozenset({known} & {*_PARAMETER_TYPES})


def validated_rows(
    rows: Sequence[JobRow], known: Sequence[Parameter]
) -> list[dict[str, Any]]:
    """Return the values of each row in the types of the notebook's parameters.

    Raises one `UsageError` that lists all that is unknown, missing, of the wrong type,
    or secret.
    """
    by_name = {parameter.name: parameter for parameter in known}
    problems = [*_column_problems(rows, by_name)]
    values = [_validated_row(row, by_name, problems) for row in rows]
    if problems:
        hidden = len(problems) - _MAX_PROBLEMS_SHOWN
        more = f"; and {hidden} more" if hidden > 0 else ""
        raise UsageError(
            f"no job was run: {'; '.join(problems[:_MAX_PROBLEMS_SHOWN])}{more}"
        )
    return values


def _column_problems(
    rows: Sequence[JobRow], known: Mapping[str, Parameter]
) -> Iterable[str]:
    """Explain what is wrong with whole columns."""
    for name in dict.fromkeys(name for row in rows for name in row.values):
        if is_secret_name(name):
            yield (
                f"{name!r} looks like a secret, which would stand in every executed "
                "notebook: give it to the notebook by the environment"
            )
        elif name not in known:
            close = nearest_name(name, known)
            hint = f"it has {', '.join(known)}"
            if close:
                hint = f"did you mean {close!r}?"
            yield f"the notebook has no parameter {name!r} ({hint})"


def _validated_row(
    row: JobRow, known: Mapping[str, Parameter], problems: list[str]
) -> dict[str, Any]:
    """Return the row's values; add what is wrong with them to `problems`."""
    values = {}
    for name, value in row.values.items():
        if name not in known:
            continue
        if isinstance(value, str) and _SECRET_VALUE.fullmatch(value):
            problems.append(
                f"{row.location}: the value of {name!r} looks like a secret"
            )
            continue
        try:
            parsed = known[name].parse(value) if row.is_text else value
            values[name] = known[name].validated(parsed)
        except (ValueError, RecursionError):
            types = known[name].describe_types()
            problems.append(
                f"{row.location}: {name} must be {types}, not {value!r:.60}"
            )
        if not can_be_written(value):
            problems.append(
                f"{row.location}: {name} has half a character (lone surrogate) in it, "
                "or a number of thousands of digits"
            )
    problems += [
        f"{row.location}: {name!r} is missing"
        for name, parameter in known.items()
        if parameter.required and name not in row.values
    ]
    return values


def grid_values(parameter: Parameter | None, value: Any) -> list[Any]:
    """Return the values that a grid gives a parameter: of a list, a range, or one."""
    if isinstance(value, str) and parameter and "int" in parameter.types:
        return [*parse_ints(value)]
    if not isinstance(value, list):
        return [value]
    takes_lists = parameter is not None and parameter.types == {"list"}
    if takes_lists and not all(isinstance(part, list) for part in value):
        return [value]
    return value
