"""Jobs: a notebook's parameters for each run, under a name and a key that follow from them."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagen_nb.batch.jobs import jobs as grids
from imagen_nb.batch.jobs import tables
from imagen_nb.batch.jobs.parameters import Parameter, grid_values, validated_rows
from imagen_nb.batch.jobs.tables import JobRow
from imagen_nb.errors import UsageError
from imagen_nb.request.sweep_syntax import MAX_SWEEP_PICTURES, expand, parse_sizes
from imagen_nb.storage.output import slug

if TYPE_CHECKING:
    from imagen_nb.batch.jobs.notebook import Template
    from imagen_nb.batch.jobs.tables import JobsSource

JOB_NAME_COLUMN = "job"  # the column that names jobs, unless the notebook has a parameter of this name
_JOB_NAME_PATTERN = re.compile(r"\w[\w.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Job:
    """One run. `name`: of its executed notebook, without .ipynb; `key`: of all it follows from."""

    name: str
    key: str
    parameters: dict[str, Any]


def make_jobs(source: JobsSource, template: Template) -> list[Job]:
    """The jobs of a table or grid, in order.

    A `seed` that a job leaves empty follows from the job's other parameters: the same batch is the
    same pictures wherever it runs, and after an interruption. Raises one `UsageError` with all that
    the notebook cannot take.
    """
    table = tables.load_table(source)
    known = template.parameters
    rows = grids.grid_rows(table.grid, known) if table.grid is not None else table.rows
    if not rows:
        raise UsageError("there are no jobs: the table has no rows")
    named = all(parameter.name != JOB_NAME_COLUMN for parameter in known)
    names = [row.values.pop(JOB_NAME_COLUMN, None) if named else None for row in rows]
    values = validated_rows(rows, known)
    seeded = any(parameter.name == "seed" for parameter in known)
    seen: Counter[str] = Counter()
    made = []
    for name, given in zip(names, values, strict=True):
        first = _digest_of_values(template.digest, given)
        key = _digest_of_values(first, seen[first])  # the same row again is another job
        seen[first] += 1
        drawn = {"seed": int(key[:8], 16)} if seeded and "seed" not in given else {}
        made.append(Job(_job_name(name, given, key), key, given | drawn))
    _require_distinct_names(made)
    return made


def _digest_of_values(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _job_name(name: Any, given: dict[str, Any], key: str) -> str:
    if name is None:
        prompt = given.get("prompt")
        return f"{slug(prompt) if isinstance(prompt, str) else 'job'}-{key[:12]}"
    if not _JOB_NAME_PATTERN.fullmatch(str(name)) or str(name).startswith("."):
        raise UsageError(
            f"a job's name is letters, digits, dots and dashes, for a file name, not {name!r:.60}"
        )
    return str(name)


def _require_distinct_names(made: Sequence[Job]) -> None:
    counted = Counter(
        job.name.casefold() for job in made
    )  # some disks do not tell A from a
    name, count = counted.most_common(1)[0]
    if count > 1:
        raise UsageError(f"{count} jobs have the name {name!r}: names must differ")


_SIZE_PARAMETERS = ("width", "height")


def grid_rows(
    grid: Mapping[str, Any], known: Sequence[Parameter]
) -> tuple[JobRow, ...]:
    r"""Every combination, the first name slowest.

    `prompts`, `seeds` … are the plural of a parameter's name; `sizes` are `128x192`, for width and
    height; whole numbers may be a range like `1..8`; alternatives in texts, `{red|blue} boat`,
    expand in order, and `\{` is a brace. Raises `UsageError` for a grid that is none.
    """
    axes = [_grid_axis(str(name), value, known) for name, value in grid.items()]
    count = math.prod(map(len, axes))
    if count > MAX_SWEEP_PICTURES:
        raise UsageError(
            f"this grid has {count:,} jobs, more than {MAX_SWEEP_PICTURES:,}: split it"
        )
    return tuple(
        JobRow(
            f"job {number}",
            {k: v for part in parts for k, v in part.items() if v is not None},
        )
        for number, parts in enumerate(itertools.product(*axes), 1)
    )


def _grid_axis(
    name: str, value: Any, known: Sequence[Parameter]
) -> list[dict[str, Any]]:
    """What one line of the grid varies over."""
    by_name = {parameter.name: parameter for parameter in known}
    if (
        name in ("size", "sizes")
        and name not in by_name
        and by_name.keys() >= {*_SIZE_PARAMETERS}
    ):
        return [
            dict(zip(_SIZE_PARAMETERS, size, strict=True))
            for size in _grid_sizes(value)
        ]
    meant = (
        name if name in by_name or name.removesuffix("s") not in by_name else name[:-1]
    )
    values = [
        choice
        for one in grid_values(by_name.get(meant), value)
        for choice in _text_alternatives(one)
    ]
    if not values:
        raise UsageError(f"the grid has no values for {name!r}")
    return [{meant: one} for one in values]


def _grid_sizes(value: Any) -> Iterable[Sequence[int]]:
    for one in value if isinstance(value, list) else [value]:
        yield from parse_sizes(str(one))


def _text_alternatives(value: Any) -> list[Any]:
    return [*expand(value)] if isinstance(value, str) else [value]
