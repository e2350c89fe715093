"""index.html of a batch: each job with its pictures, small, and a link to its notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imagen_nb.batch.jobs.jobs import Job
from imagen_nb.batch.results.executed import FAILED, SHOWN, Outcome
from imagen_nb.batch.results.folder import Folder
from imagen_nb.system.markup import (
    PAGE_END,
    bidi_isolated,
    escaped_html,
    page_head,
    truncated,
)

_STYLE = Path(__file__).parent / "batch.css"
_IMAGES = (
    "'self' file:"  # not 'self' alone: a page that is opened as a file has no origin
)
_VALUE, _FACTS = 60, 400  # letters of one parameter, of all of a job


def page(
    folder: Folder, jobs: Sequence[Job], outcomes: Mapping[str, Outcome], title: str
) -> str:
    """The page: it runs no script, and loads nothing but the thumbnails beside it."""
    cards = "".join(_card(folder, job, outcomes.get(job.key)) for job in jobs)
    failed = sum(one.status == FAILED for one in outcomes.values())
    said = f"{len(outcomes):,} of {len(jobs):,} jobs were run"
    said += f", {failed:,} of them failed" if failed else ""
    return (
        f"{page_head(title, _STYLE, _IMAGES)}<h1>{bidi_isolated(title)}</h1>\n<p>{said} · "
        '<a href="results.csv">results.csv</a> · <a href="results.parquet">results.parquet</a> · '
        f'<a href="batch.json">batch.json</a></p>\n<div class="jobs">\n{cards}</div>\n{PAGE_END}'
    )


def _card(folder: Folder, job: Job, outcome: Outcome | None) -> str:
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
        f'<div class="pictures">{"".join(_pictures(folder, job, outcome))}</div>\n'
        f"<h2>{heading}</h2>\n<p>{_facts(job.parameters)}</p>\n"
        f"<p><small>{status}{_took(outcome)}</small></p>{error}\n</article>\n"
    )


def _pictures(folder: Folder, job: Job, outcome: Outcome | None) -> Iterator[str]:
    pictures = outcome.pictures if outcome else ()
    alt = escaped_html(job.parameters.get("prompt", job.name))
    for id, _ in pictures[:SHOWN]:
        small = folder.thumbnail(id)
        if small.exists():
            source = f"{small.parent.name}/{small.name}"
            yield f'<img loading="lazy" alt="{alt}" src="{source}">'
    if len(pictures) > SHOWN:
        yield f"<small>and {len(pictures) - SHOWN} more</small>"


def _facts(parameters: Mapping[str, Any]) -> str:
    prompt = parameters.get("prompt")
    others = [
        f"{name} {_text(value)}"
        for name, value in parameters.items()
        if name != "prompt"
    ]
    shown = f"<b>{bidi_isolated(prompt)}</b> " if prompt is not None else ""
    return f"{shown}{bidi_isolated(' · '.join(others), _FACTS)}"


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return truncated(text, _VALUE)


def _took(outcome: Outcome | None) -> str:
    return (
        f" · {outcome.seconds:.1f} s" if outcome and outcome.seconds is not None else ""
    )
