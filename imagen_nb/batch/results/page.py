"""index.html of a batch: each job's thumbnails, parameters and notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import FAILED, THUMBNAILS_PER_JOB, Outcome
from imagen_nb.batch.results.folder import NOT_RUN, BatchFolder
from imagen_nb.system.markup import (
    PAGE_END,
    bidi_isolated,
    escaped_html,
    page_head,
    truncated,
)

_BATCH_CSS = Path(__file__).parent / "batch.css"
# Not 'self' alone: a page that is opened as a file has no origin.
_IMAGE_SOURCES = "'self' file:"
_MAX_VALUE_CHARS = 60  # of one parameter
_MAX_PARAMETERS_CHARS = 400  # of all parameters of a job


def batch_page(
    folder: BatchFolder,
    jobs: Sequence[Job],
    outcomes: Mapping[str, Outcome],
    title: str,
) -> str:
    """Return the page as HTML.

    It runs no script, and loads nothing but the thumbnails in the folder.
    """
    cards = "".join(_job_card(folder, job, outcomes.get(job.key)) for job in jobs)
    failed = sum(one.status == FAILED for one in outcomes.values())
    summary = f"{len(outcomes):,} of {len(jobs):,} jobs were run"
    if failed:
        summary += f", {failed:,} of them failed"
    return (
        f"{page_head(title, _BATCH_CSS, _IMAGE_SOURCES)}<h1>{bidi_isolated(title)}</h1>\n"
        f'<p>{summary} · <a href="results.csv">results.csv</a> · '
        '<a href="results.parquet">results.parquet</a> · '
        '<a href="batch.json">batch.json</a></p>\n'
        f'<div class="jobs">\n{cards}</div>\n{PAGE_END}'
    )


def _job_card(folder: BatchFolder, job: Job, outcome: Outcome | None) -> str:
    status, heading, error, duration = NOT_RUN, escaped_html(job.name), "", ""
    if outcome:
        status, duration = outcome.status, _describe_duration(outcome)
        link = quote(folder.link(job), safe="/:")
        heading = f'<a href="{link}">{heading}</a>'
    if outcome and outcome.error:
        error = f'<p class="error">{bidi_isolated(outcome.error)}</p>'
    thumbnails = "".join(_thumbnail_tags(folder, job, outcome))
    return (
        f'<article class="{"failed" if status == FAILED else "job"}">\n'
        f'<div class="pictures">{thumbnails}</div>\n'
        f"<h2>{heading}</h2>\n<p>{_parameters_html(job.parameters)}</p>\n"
        f"<p><small>{status}{duration}</small></p>{error}\n</article>\n"
    )


def _thumbnail_tags(
    folder: BatchFolder, job: Job, outcome: Outcome | None
) -> Iterator[str]:
    pictures = outcome.pictures if outcome else ()
    alt = escaped_html(job.parameters.get("prompt", job.name))
    for id, _ in pictures[:THUMBNAILS_PER_JOB]:
        file = folder.thumbnail(id)
        if file.exists():
            source = f"{file.parent.name}/{file.name}"
            yield f'<img loading="lazy" alt="{alt}" src="{source}">'
    hidden = len(pictures) - THUMBNAILS_PER_JOB
    if hidden > 0:
        yield f"<small>and {hidden} more</small>"


def _parameters_html(parameters: Mapping[str, Any]) -> str:
    others = [
        f"{name} {_describe_value(value)}"
        for name, value in parameters.items()
        if name != "prompt"
    ]
    prompt = parameters.get("prompt")
    bold = f"<b>{bidi_isolated(prompt)}</b> " if prompt is not None else ""
    return f"{bold}{bidi_isolated(' · '.join(others), _MAX_PARAMETERS_CHARS)}"


def _describe_value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return truncated(text, _MAX_VALUE_CHARS)


def _describe_duration(outcome: Outcome) -> str:
    return "" if outcome.seconds is None else f" · {outcome.seconds:.1f} s"
