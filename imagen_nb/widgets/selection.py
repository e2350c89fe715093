"""What a gallery does with pictures that are selected, or with one for the panel."""

from __future__ import annotations

import io
import keyword
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from IPython import get_ipython

from imagen_nb.errors import UsageError
from imagen_nb.frames.pictures.contact_sheet import make_contact_sheet
from imagen_nb.frames.pictures.export import export_pictures
from imagen_nb.storage.tags import KEEPER, RATINGS, REJECT, TagChange, make_tag_change
from imagen_nb.studio.default import studio
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.terminal import counted_pictures

if TYPE_CHECKING:
    import pandas as pd

# By the tag of a view's message: the tags to add, and those to remove.
MARKS: dict[str, tuple[list[str], list[str]]] = {
    "0": ([], [*RATINGS]),
    **{str(stars): ([tag], []) for stars, tag in enumerate(RATINGS, 1)},
    KEEPER: ([KEEPER], []),
    REJECT: ([REJECT], []),
}


def write_tags(
    frame: pd.DataFrame, add: Sequence[str], remove: Sequence[str]
) -> TagChange:
    """Tag these pictures, as `imagen_nb.tag` does, and return the change.

    Raises `UsageError` for what is no tag, or when there are no pictures.
    """
    change = make_tag_change(add, remove)
    _require_some(frame)
    studio().retag(frame, change)
    return change


def _require_some(frame: pd.DataFrame) -> None:
    if not len(frame):
        raise UsageError("no picture is selected: select some with Space or a click")


def _export(frame: pd.DataFrame, target: str) -> tuple[str, list[bytes]]:
    if not target.strip():
        raise UsageError("name a folder, or a file that ends in .zip")
    path = absolute_path(target.strip())
    done = export_pictures(frame, path, studio().reader())
    lacking = done["reason"].dropna()
    said = f"{counted_pictures(done['path'].count())} exported to {path}"
    if len(lacking):
        said += f"; {len(lacking)} could not be had: {lacking.iloc[0]}"
    return said, []


def _make_sheet(frame: pd.DataFrame, _: str) -> tuple[str, list[bytes]]:
    caption = "seed {seed}" if "seed" in frame.columns else None
    sheet = make_contact_sheet(frame, studio().reader(), None, 160, caption)
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=1)
    return f"contact sheet of {counted_pictures(len(frame))}", [file.getvalue()]


def _name(frame: pd.DataFrame, name: str) -> tuple[str, list[bytes]]:
    """Make the frame a variable of the notebook."""
    name = name.strip()
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} is no name of a variable: letters, digits and _, as in picked"
        )
    shell = get_ipython()
    if shell is None:
        raise UsageError("there is no notebook whose variable it could be")
    known = shell.user_ns.get(name)
    if known is not None and not hasattr(known, "columns"):
        kind = type(known).__name__
        raise UsageError(f"{name} is a {kind} in this notebook: choose another name")
    shell.user_ns[name] = frame
    return f"{name} is a frame of {counted_pictures(len(frame))} now", []


def _of_some(
    act: Callable[[pd.DataFrame, str], tuple[str, list[bytes]]],
) -> Callable[[pd.DataFrame, str], tuple[str, list[bytes]]]:
    def checked(frame: pd.DataFrame, value: str) -> tuple[str, list[bytes]]:
        _require_some(frame)
        return act(frame, value)

    return checked


# By name, what is done with the selected rows and a text: a line to say, and files.
ACTIONS = {
    "export": _of_some(_export),
    "sheet": _of_some(_make_sheet),
    "name": _of_some(_name),
}


def send_to_panel(row: pd.Series[Any], part: str) -> str:
    """Give a picture to the panel that was shown last; return a line to say.

    Args:
        row: the picture.
        part: `all`, `prompt`, `seed` or `size` to recall; `init` for the init image;
            `reproduce` draws it again, without a panel.

    Raises:
        UsageError: when there is no panel.
    """
    from imagen_nb.widgets.panel import latest_panel

    if part == "reproduce":
        return _reproduce(row)
    panel = latest_panel()
    if panel is None:
        raise UsageError("show a Panel first: im.Panel()")
    if part == "init":
        panel.use_as_init_image(row)
        return "it is the Panel's init image now"
    panel.take(row, part)
    return (
        "the Panel has its settings" if part == "all" else f"the Panel has its {part}"
    )


def _reproduce(row: pd.Series[Any]) -> str:
    picture = studio().reproduce(row, progress=False)
    if picture.identical is None:
        return "drawn again; there is nothing to compare it with"
    if picture.identical:
        return "drawn again: identical, pixel for pixel"
    return f"drawn again: differs ({'; '.join(picture.differs) or 'nothing says why'})"
