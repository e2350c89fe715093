"""index.html of a batch: each job with its pictures, small, and a link to its notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import FAILED, THUMBNAILS_PER_JOB, Outcome
from imagen_nb.batch.results.folder import BatchFolder
from imagen_nb.system.markup import (
    PAGE_END,
    bidi_isolated,
    escaped_html,
    page_head,
    truncated,
)

_BATCH_CSS = Path(__file__).parent / "batch.css"
_IMAGE_SOURCES = (
    "'self' file:"  # not 'self' alone: a page that is opened as a file has no origin
)
_MAX_VALUE_CHARS, _MAX_PARAMETERS_CHARS = (
    60,
    400,
)  # letters of one parameter, of all of a job


def batch_page(
    folder: BatchFolder,
    jobs: Sequence[Job],
    outcomes: Mapping[str, Outcome],
    title: str,
) -> str:
    """The page: it runs no script, and loads nothing but the thumbnails beside it."""
    cards = "".join(_job_card(folder, job, outcomes.get(job.key)) for job in jobs)
    failed = sum(one.status == FAILED for one in outcomes.values())
    said = f"{len(outcomes):,} of {len(jobs):,} jobs were run"
    said += f", {failed:,} of them failed" if failed else ""
    return (
        f"{page_head(title, _BATCH_CSS, _IMAGE_SOURCES)}<h1>{bidi_isolated(title)}</h1>\n<p>{said} · "
        '<a href="results.csv">results.csv</a> · <a href="results.parquet">results.parquet</a> · '
        f'<a href="batch.json">batch.json</a></p>\n<div class="jobs">\n{cards}</div>\n{PAGE_END}'
    )


def _job_card(folder: BatchFolder, job: Job, outcome: Outcome | None) -> str:
    """One job: pictures, parameters, what became of it."""
    status = outcome.status if outcome else "not run"
    link = quote(folder.link(job), safe="/:")
    name = escaped_html(job.name)
    heading = f'<a href="{link}">{name}</a>' if outcome else name
    error = (
        f'<p class="error">{bidi_isolated(outcome.error)}</p>'
        if outcome and outcome.error
        else ""
    )
    return (
        f'<article class="{"failed" if status == FAILED else "job"}">\n'
        f'<div class="pictures">{"".join(_thumbnail_tags(folder, job, outcome))}</div>\n'
        f"<h2>{heading}</h2>\n<p>{_parameters_html(job.parameters)}</p>\n"
        f"<p><small>{status}{_describe_duration(outcome)}</small></p>{error}\n</article>\n"
    )


def _thumbnail_tags(
    folder: BatchFolder, job: Job, outcome: Outcome | None
) -> Iterator[str]:
    pictures = outcome.pictures if outcome else ()
    alt = escaped_html(job.parameters.get("prompt", job.name))
    for id, _ in pictures[:THUMBNAILS_PER_JOB]:
        small = folder.thumbnail(id)
        if small.exists():
            source = f"{small.parent.name}/{small.name}"
            yield f'<img loading="lazy" alt="{alt}" src="{source}">'
    if len(pictures) > THUMBNAILS_PER_JOB:
        yield f"<small>and {len(pictures) - THUMBNAILS_PER_JOB} more</small>"


def _parameters_html(parameters: Mapping[str, Any]) -> str:
    prompt = parameters.get("prompt")
    others = [
        f"{name} {_describe_value(value)}"
        for name, value in parameters.items()
        if name != "prompt"
    ]
    shown = f"<b>{bidi_isolated(prompt)}</b> " if prompt is not None else ""
    return f"{shown}{bidi_isolated(' · '.join(others), _MAX_PARAMETERS_CHARS)}"


def _describe_value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return truncated(text, _MAX_VALUE_CHARS)


def _describe_duration(outcome: Outcome | None) -> str:
    return (
        f" · {outcome.seconds:.1f} s" if outcome and outcome.seconds is not None else ""
    )
