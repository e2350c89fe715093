"""The report as a file: one page of HTML that loads nothing and runs nothing."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.analysis.report import charts, tables
from imagen_nb.analysis.report.effects import effects_section
from imagen_nb.analysis.report.families import families_section
from imagen_nb.analysis.report.tables import html_section
from imagen_nb.analysis.report.thumbnails import thumbnails_section
from imagen_nb.errors import CloudError, StorageError, UsageError
from imagen_nb.frames.schema import require_columns
from imagen_nb.studio.default import studio
from imagen_nb.system.atomic import write_atomically
from imagen_nb.system.markup import GENERATOR_TAG, PAGE_END, bidi_isolated, page_head
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.studio import Studio

MAX_REPORT_BYTES = 4_900_000
_REPORT_COLUMNS = (
    "id",
    "prompt",
    "backend",
    "model",
    "seed",
    "steps",
    "width",
    "height",
    "latency_ms",
    "cost_usd_estimate",
    "storage_path",
    "tags",
    "created_at",
    "local_path",
)
_REPORT_STYLESHEET = Path(__file__).parent / "report.css"
_MARK_SEARCH_BYTES = 2000  # the mark of a report is in the first ones


def write_report(
    df: pd.DataFrame,
    path: Path | str,
    session: Studio,
    title: str,
    pictures: int,
) -> Path:
    """Write the report and return its path; arguments and errors as `imagen_nb.report`.

    `session`: where pictures come from that are not on this machine, and relatives.
    """
    require_columns(df, *_REPORT_COLUMNS)
    if pictures < 0:
        raise UsageError(f"pictures must be 0 or more, not {pictures}")
    target = absolute_path(path)
    _require_replaceable(target)
    page = report_html(df, session, title, pictures)
    try:
        write_atomically(
            Path(os.path.realpath(target)), page.encode()
        )  # a link stays one
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}") from None
    return target


def _require_replaceable(target: Path) -> None:
    """Raise UsageError if the path is taken by anything but an earlier report."""
    if target.is_dir():
        raise UsageError(
            f"{target} is a folder: name a file in it, such as {target}/report.html"
        )
    try:
        if target.exists() and not _is_replaceable(target):
            raise UsageError(
                f"{target} is there, and no report of imagen:"
                " choose another name, or remove it"
            )
    except OSError as error:
        raise StorageError(f"cannot read {target}: {error.strerror}") from None


def _is_replaceable(target: Path) -> bool:
    """Whether it is an earlier report, or an empty file."""
    if not target.is_file():
        return False
    with open(target, "rb") as file:
        beginning = file.read(_MARK_SEARCH_BYTES)
    return not beginning or GENERATOR_TAG.encode() in beginning


def report_html(df: pd.DataFrame, session: Studio, title: str, pictures: int) -> str:
    """Return the page as HTML; arguments are those of `write_report`."""
    cloud = session.reader()
    votes = session.votes(
        source="auto" if pictures else "local"
    )  # then nothing is fetched
    parts = [
        page_head(title, _REPORT_STYLESHEET, "data:"),
        _report_heading(df, title),
        tables.totals_section(df),
        html_section("Figures", charts.charts_html(df)),
        effects_section(df, session.lookup.catalogs(), votes),
    ]
    if pictures and len(df):
        grid = charts.picture_grid_html(df, cloud)
        parts.append(html_section("Seeds and settings", grid))
        parts.append(families_section(_families_of(df, session), cloud))
    parts += [
        tables.models_section(df),
        tables.latencies_section(df),
        tables.costs_section(df),
        tables.tags_section(df),
        tables.prompts_section(df),
    ]
    left = MAX_REPORT_BYTES - sum(len(part.encode()) for part in [*parts, PAGE_END])
    return "".join([*parts, thumbnails_section(df, cloud, pictures, left), PAGE_END])


def _families_of(df: pd.DataFrame, session: Studio) -> pd.DataFrame:
    """Return the pictures' families; none, if a cloud is set up and does not answer."""
    try:
        return session.lineage(df)
    except CloudError as error:
        print_notice(f"the report shows no families: {error}")
        return df.iloc[:0].assign(family=[], generation=[], how=[], via=[])


def _report_heading(df: pd.DataFrame, title: str) -> str:
    now = datetime.now().astimezone()
    count = f"{len(df):,} picture{'s' if len(df) != 1 else ''}"
    if df.empty:
        count = "no pictures"
    return f"<h1>{bidi_isolated(title)}</h1>\n<p>{count} · {now:%Y-%m-%d %H:%M}</p>\n"


@known_arguments
def report(
    df: pd.DataFrame,
    path: Path | str = "report.html",
    *,
    title: str = "Pictures",
    pictures: int = 1000,
) -> Path:
    """Write a history, or a part of it, as one HTML page: figures, tables, thumbnails.

    Pictures that were drawn from one another stand as trees, with relatives that the
    frame lacks.

    The page needs no other file, loads nothing from anywhere and runs no script. It has
    less than 5 MB: the more pictures it shows, the smaller they are. Pictures that are
    not on this machine are fetched from the cloud; one that cannot be loaded is a grey
    box that says why.

    An earlier report of that name, or an empty file, is replaced; anything else is not.

    Args:
        df: the pictures, as `history` returns them.
        path: the file to write; its folder must exist.
        title: the heading of the page.
        pictures: how many are shown, the first ones; 0 for figures and tables only.

    Returns:
        The absolute path of the page.

    Raises:
        UsageError: if the frame lacks columns, or another file has this path.
        StorageError: if the page cannot be written.

    Example:
        >>> im.report(im.history(since="30d"), "november.html", title="November")
    """
    return write_report(df, path, studio(), title, pictures)
