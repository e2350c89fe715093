"""What a notebook says of its pictures, in its own outputs, so that nobody has to guess.

The form is scrapbook's, papermill's companion: `scrapbook.read_notebook(path).scraps["pictures"]`
reads it too (https://nteract-scrapbook.readthedocs.io).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from imagen_nb.storage.picture import Picture

if TYPE_CHECKING:
    from imagen_nb.studio.pictures import Pictures

SCRAP_MIME = "application/scrapbook.scrap.json+json"
SCRAP_NAME = "pictures"


def glue(pictures: Picture | Pictures | Iterable[Picture]) -> None:
    """Record in this notebook which pictures it made; `imagen batch` and papermill read it there.

    It shows nothing. A notebook may call it several times; all its pictures count.

    Args:
        pictures: a Picture, Pictures, or any number of them.

    Example:
        >>> im.glue(im.generate(prompt, seed=seed))
    """
    from IPython.display import display as _display  # untyped

    display: Callable[..., None] = _display

    many = [pictures] if isinstance(pictures, Picture) else pictures
    data = [{"id": str(one.record.id), "path": str(one.path)} for one in many]
    scrap = {"name": SCRAP_NAME, "data": data, "encoder": "json", "version": 1}
    shown = {"scrapbook": {"name": SCRAP_NAME, "data": True, "display": False}}
    display({SCRAP_MIME: scrap}, metadata=shown, raw=True)


def glued_pictures(notebook: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The id and path of each picture that an executed notebook records."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            scrap = output.get("data", {}).get(SCRAP_MIME)
            if scrap and scrap.get("name") == SCRAP_NAME:
                for one in scrap["data"]:
                    yield one["id"], one["path"]
