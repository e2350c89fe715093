"""Makes jobs of a table or a grid: each has parameters, a name and a key."""

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

from imagen_nb.batch.jobs.parameters import Parameter, grid_values, validated_rows
from imagen_nb.batch.jobs.tables import JobRow, load_table
from imagen_nb.errors import UsageError
from imagen_nb.request.sweep_syntax import MAX_SWEEP_PICTURES, expand, parse_sizes
from imagen_nb.storage.names import slug

if TYPE_CHECKING:
    from imagen_nb.batch.jobs.notebook import Template
    from imagen_nb.batch.jobs.tables import JobsSource

# The column that names jobs, unless the notebook has a parameter of this name.
JOB_NAME_COLUMN = "job"
_JOB_NAME_PATTERN = re.compile(r"\w[\w.-]{0,99}")
_SIZE_PARAMETERS = ("width", "height")


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the notebook.

    Attributes:
        name: of its executed notebook, without .ipynb.
        key: a digest of the notebook and the parameters; the same job has the same key.
        parameters: JSON values by name.
    """

    name: str
    key: str
    parameters: dict[str, Any]


def make_jobs(source: JobsSource, template: Template) -> list[Job]:
    """Return the jobs of a table or grid, in its order.

    A `seed` that a job leaves empty is derived from the job's other parameters: the
    same batch draws the same pictures wherever it runs, and after an interruption.
    Raises one `UsageError` that lists all that the notebook cannot take.
    """
    table = load_table(source)
    known = template.parameters
    rows = table.rows if table.grid is None else grid_rows(table.grid, known)
    if not rows:
        raise UsageError("there are no jobs: the table has no rows")
    known_names = {parameter.name for parameter in known}
    names: list[Any] = [None] * len(rows)
    if JOB_NAME_COLUMN not in known_names:
        names = [row.values.pop(JOB_NAME_COLUMN, None) for row in rows]
    repeats: Counter[str] = Counter()
    jobs = []
    for name, values in zip(names, validated_rows(rows, known), strict=True):
        first = _digest_of_values(template.digest, values)
        key = _digest_of_values(first, repeats[first])  # the same row is another job
        repeats[first] += 1
        parameters = dict(values)
        if "seed" in known_names and "seed" not in values:
            parameters["seed"] = int(key[:8], 16)
        jobs.append(Job(_job_name(name, values, key), key, parameters))
    _require_distinct_names(jobs)
    return jobs


def _digest_of_values(*values: Any) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _job_name(name: Any, values: Mapping[str, Any], key: str) -> str:
    """Return the name that the table gives, or one made of the prompt and the key."""
    if name is None:
        prompt = values.get("prompt")
        start = slug(prompt) if isinstance(prompt, str) else "job"
        return f"{start}-{key[:12]}"
    if not _JOB_NAME_PATTERN.fullmatch(str(name)):
        raise UsageError(
            "a job's name is letters, digits, dots and dashes, for a file name, "
            f"not {name!r:.60}"
        )
    return str(name)


def _require_distinct_names(jobs: Sequence[Job]) -> None:
    """Raise UsageError if two names differ by case alone, or not at all."""
    # Some file systems do not distinguish A from a.
    counts = Counter(job.name.casefold() for job in jobs)
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise UsageError(f"{count} jobs have the name {name!r}: names must differ")


def grid_rows(
    grid: Mapping[str, Any], known: Sequence[Parameter]
) -> tuple[JobRow, ...]:
    r"""Return every combination of a grid's values; the first name varies slowest.

    A name may be a parameter's or its plural (`prompts`, `seeds`); `sizes` such as
    `128x192` give width and height; whole numbers may be a range like `1..8`;
    alternatives in texts, `{red|blue} boat`, expand in order, and `\{` is a brace.
    Raises `UsageError` if the grid has a name without values, or too many combinations.
    """
    axes = [_grid_axis(str(name), value, known) for name, value in grid.items()]
    count = math.prod(map(len, axes))
    if count > MAX_SWEEP_PICTURES:
        raise UsageError(
            f"this grid has {count:,} jobs, more than {MAX_SWEEP_PICTURES:,}: split it"
        )
    rows = []
    for number, parts in enumerate(itertools.product(*axes), 1):
        values: dict[str, Any] = {}
        for part in parts:
            values |= {k: v for k, v in part.items() if v is not None}
        rows.append(JobRow(f"job {number}", values))
    return tuple(rows)


def _grid_axis(
    name: str, value: Any, known: Sequence[Parameter]
) -> list[dict[str, Any]]:
    """Return the choices that one line of the grid gives, each as parameters."""
    by_name = {parameter.name: parameter for parameter in known}
    is_size = name in ("size", "sizes") and name not in by_name
    if is_size and by_name.keys() >= {*_SIZE_PARAMETERS}:
        return [
            dict(zip(_SIZE_PARAMETERS, size, strict=True))
            for size in _grid_sizes(value)
        ]
    varied = name
    if name not in by_name and name.removesuffix("s") in by_name:
        varied = name.removesuffix("s")
    values: list[Any] = []
    for one in grid_values(by_name.get(varied), value):
        values += expand(one) if isinstance(one, str) else [one]
    if not values:
        raise UsageError(f"the grid has no values for {name!r}")
    return [{varied: one} for one in values]


def _grid_sizes(value: Any) -> Iterable[Sequence[int]]:
    for one in value if isinstance(value, list) else [value]:
        yield from parse_sizes(str(one))
