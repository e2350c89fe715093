"""Which pictures: the options that every command over the history has, written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    import pandas as pd

    from imagen_nb.studio.studio import Studio


class HistorySource(StrEnum):
    """Where to read the history."""

    auto = "auto"
    cloud = "cloud"
    local = "local"
    merged = "merged"


@dataclass(frozen=True, slots=True)
class HistoryFilters:
    """The conditions of `Studio.history`, in its words."""

    since: Annotated[
        str | None, typer.Option(help="Like 7d, '2 weeks', yesterday, 2026-05-11.")
    ] = None
    until: Annotated[
        str | None, typer.Option(help="As --since; a day is included.")
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(help='Words that all must occur; "an exact phrase"; -without.'),
    ] = None
    backend: Annotated[list[str] | None, typer.Option(help="One of these.")] = None
    model: Annotated[list[str] | None, typer.Option(help="One of these.")] = None
    tag: Annotated[list[str] | None, typer.Option(help="All of these.")] = None
    any_tag: Annotated[
        list[str] | None, typer.Option(help="At least one of these.")
    ] = None
    seed: Annotated[str | None, typer.Option(help="Like 11 or 1..8,12.")] = None
    size: Annotated[str | None, typer.Option(help="Like 128x128,192x128.")] = None
    id: Annotated[list[str] | None, typer.Option(help="Only these.")] = None
    limit: Annotated[int | None, typer.Option(help="At most so many, the newest.")] = (
        None
    )
    source: Annotated[
        HistorySource,
        typer.Option(help="cloud, local, merged, or auto: the cloud if it answers."),
    ] = HistorySource.auto

    def history(self, studio: Studio, **more: Any) -> pd.DataFrame:
        """The pictures that they let through."""
        from imagen_nb.request.sweep_syntax import parse_ints

        asked: dict[str, Any] = {
            "since": self.since,
            "until": self.until,
            "prompt": self.prompt,
            "backend": self.backend or None,
            "model": self.model or None,
            "tags": self.tag or None,
            "any_tags": self.any_tag or None,
            "seed": None if self.seed is None else parse_ints(self.seed),
            "size": self.size,
            "ids": self.id or None,
            "limit": self.limit,
            "source": self.source.value,
        }
        return studio.history(**{**asked, **more})


def with_filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options in the place of its argument `filters`."""
    hints = get_type_hints(HistoryFilters, include_extras=True)
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        filters = HistoryFilters(
            **{field.name: given.pop(field.name) for field in fields(HistoryFilters)}
        )
        command(filters=filters, **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(f.name, keyword, default=f.default, annotation=hints[f.name])
        for f in fields(HistoryFilters)
    ]
    before = [
        p
        for p in own.parameters.values()
        if p.default is p.empty and p.name != "filters"
    ]
    after = [p for p in own.parameters.values() if p.default is not p.empty]
    parameters = [p.replace(kind=keyword) for p in (*before, *options, *after)]
    with_options.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    del with_options.__dict__["__wrapped__"]  # whose signature typer would read instead
    return with_options
