"""What a Panel offers of other machines: what they draw with, and when they were seen."""

from __future__ import annotations

from contextlib import suppress

from imagen_nb.backends import REMOTE, Backend
from imagen_nb.errors import BackendError, CloudError, UsageError
from imagen_nb.studio.elsewhere.boxes import describe_box
from imagen_nb.studio.studio import Studio
from imagen_nb.widgets.controls import Controls
from imagen_nb.widgets.models import describe_for_page
from imagen_nb.widgets.strip import Strip


def tell_boxes(studio: Studio, controls: Controls, strip: Strip) -> None:
    """Offer what the boxes draw with, and send it to the page. Asks the cloud.

    One that does not answer changes nothing: whoever draws there hears of it.
    """
    try:
        found = backends_elsewhere(studio)
    except CloudError:
        return
    controls.offer_elsewhere({name: backend for name, (backend, _) in found.items()})
    rows = [
        {**describe_for_page(backend), "name": name, "where": where}
        for name, (backend, where) in found.items()
    ]
    strip.tell("boxes", backends=rows)


def backends_elsewhere(studio: Studio) -> dict[str, tuple[Backend, str]]:
    """Return what the user's boxes draw with, by name, and where that is.

    "remote", and "remote:…" for each backend of a box that runs; those that this
    machine has no definition of are left out. None without a Supabase; asks it.
    Raises `CloudError` if it does not answer.
    """
    if not studio.copies(True):
        return {}
    running = [box for box in studio.boxes() if not box.stopped]
    where = {REMOTE: describe_box(running[0])} if running else {}
    for box in running:
        for name in box.backends:
            where.setdefault(f"{REMOTE}:{name}", describe_box(box))
    found = {}
    for name, place in where.items():
        with suppress(UsageError, BackendError):
            found[name] = (studio.drawing_with(name)[0], place)
    return found
