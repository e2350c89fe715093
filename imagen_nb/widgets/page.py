"""What a Panel's page asks for by messages, and the answers."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any

from imagen_nb.config.presets import (
    DrawingPreset,
    load_presets,
    named_preset,
    presets_path,
    remove_preset,
    save_preset,
)
from imagen_nb.errors import BackendError, ImagenError, UsageError
from imagen_nb.request.images import InputImage, decode_input, load_input
from imagen_nb.request.options import IMAGE_OPTIONS
from imagen_nb.storage.input_files import load_inputs, recorded_inputs
from imagen_nb.storage.picture import explain_unreadable
from imagen_nb.storage.tags import (
    KEEPER,
    REJECT,
    TagChange,
    make_rating_change,
    make_tag_change,
)
from imagen_nb.studio.lookup import Original, load_original_file
from imagen_nb.studio.studio import Studio
from imagen_nb.system.spelling import describe_meant
from imagen_nb.system.thumbnails import encode_webp
from imagen_nb.widgets.boxes import tell_boxes
from imagen_nb.widgets.controls import RECALLABLE, Controls
from imagen_nb.widgets.facts import describe_call, list_facts
from imagen_nb.widgets.form import Form
from imagen_nb.widgets.models import (
    describe_for_page,
    describe_memory,
    list_loras,
)
from imagen_nb.widgets.painter import Painter
from imagen_nb.widgets.recall import drawing_request_again
from imagen_nb.widgets.strip import DrawnResult, Strip
from imagen_nb.widgets.work import BackgroundWork

_INPUT_SIDE = 1024  # pixels of the longer side of an init image on the page
_MAX_WHOLE_BYTES = 8_000_000  # of a file that is sent as it is
_LARGE_SIDE = 2048  # pixels of the longer side of what is sent instead
_LARGE_BYTES = 2_000_000

PageMessage = dict[str, Any]


class Page:
    """Answers the page of one Panel; its errors are lines there."""

    def __init__(
        self,
        studio: Studio,
        form: Form,
        controls: Controls,
        painter: Painter,
        strip: Strip,
    ) -> None:
        self._studio, self._form, self._controls = studio, form, controls
        self._painter, self._strip = painter, strip
        self._work = BackgroundWork(strip.failed)

    def close(self) -> None:
        """End the threads."""
        self._work.stop()

    def hear(self, _: Any, message: PageMessage, buffers: Sequence[Any]) -> None:
        """Do what the page asks for; ignore what another version's page may ask."""
        self.guard(self._act, message, buffers)

    def guard(self, act: Callable[..., None], *values: Any) -> None:
        """Call `act` with its errors shown here: Jupyter hides those of callbacks."""
        try:
            act(*values)
        except ImagenError as error:
            self._strip.failed(str(error))
        except Exception as error:
            traceback.print_exc()
            self._strip.failed(f"unexpected: {error!r}")

    def _act(self, message: PageMessage, buffers: Sequence[Any]) -> None:
        action = message.get("do")
        if action in _PAGE_ACTIONS:
            _PAGE_ACTIONS[action](self, message)
        elif action in _QUEUE_ACTIONS:
            _QUEUE_ACTIONS[action](self._painter, message)
        elif action in _PICTURE_ACTIONS:
            result = self._strip.results.get(str(message["id"]))
            _PICTURE_ACTIONS[action](self, result, message)
        elif action == "image":
            data = bytes(buffers[0]) if buffers else b""
            self._upload(str(message["name"]), data)

    def changed(self, name: str) -> None:
        """Follow a change of the form: what belongs to it, and what is wrong now."""
        self._controls.react(name)
        if name == "backend":
            self._work.soon(self._send_memory)
        self.send_checks(name)

    def send_checks(self, changed: str = "prompt") -> None:
        """Send what cannot be drawn, and how many pictures can.

        A prompt still to be written is no problem.
        """
        problems = self._controls.problems()
        if changed != "prompt" and not self._form.prompt:
            problems.pop("prompt", None)
        pictures, how = self._form.describe_count()
        self._strip.tell("checks", problems=problems, pictures=pictures, how=how)

    def draw(self) -> None:
        """Put what the form says into the queue. Raises `UsageError` for nonsense."""
        self.send_checks()
        self._painter.add(self._controls.requests(), self._controls.inputs)

    def take(self, original: Original, part: str) -> None:
        """Set the form, or a part of it, from a picture; see `Panel.take`."""
        if part not in RECALLABLE:
            meant = describe_meant(part, RECALLABLE)
            raise UsageError(f"a part is one of {', '.join(RECALLABLE)}{meant}")
        record = original.record
        self._controls.recall(record, part)
        if part == "all":
            self._take_inputs(original)
        self._strip.said(f"recalled: {part}")
        self.send_checks()

    def use_as_init_image(self, original: Original) -> None:
        """Draw from this picture. Raises `BackendError` if its file is gone."""
        data = load_original_file(original, self._studio.lookup.reader())
        self.use_image("init_image", decode_input("init_image", data))

    def use_image(self, name: str, image: InputImage | None) -> None:
        """Take or drop an image to draw from, and show it."""
        self._controls.use_image(name, image)
        self._send_input("init_image")
        self._send_input("mask")
        self.send_checks("init_image")

    def _upload(self, name: str, data: bytes) -> None:
        if name not in IMAGE_OPTIONS:
            raise UsageError(f"an image is one of {', '.join(sorted(IMAGE_OPTIONS))}")
        self.use_image(name, load_input(name, data) if data else None)

    def _take_inputs(self, original: Original) -> None:
        """Take the images that a picture was drawn from, and say so if one is gone."""
        inputs: dict[str, InputImage] = {}
        try:
            if original.record.inputs:
                inputs = load_inputs(original.record, self._folders_of(original))
        except BackendError as error:
            self._strip.failed(str(error))
        self._controls.inputs.clear()
        self._controls.inputs.update(inputs)
        self._send_input("init_image")
        self._send_input("mask")

    def _folders_of(self, original: Original) -> list[Any]:
        folders = [catalog.folder for catalog in self._studio.lookup.catalogs()]
        return [*([original.path.parent] if original.path else []), *folders]

    def _send_input(self, name: str) -> None:
        image = self._controls.inputs.get(name)
        if image is None:
            self._strip.tell("image", name=name, width=0, height=0)
            return
        size = (image.width, image.height)
        shown = image.mask(*size) if name == "mask" else image.image(*size)
        data = encode_webp(shown, _INPUT_SIDE, _LARGE_BYTES)
        self._strip.tell("image", data, name=name, width=size[0], height=size[1])

    def _hello(self, message: PageMessage) -> None:
        """Send all that there is to a view that has just come up."""
        controls = self._controls
        self._strip.tell(
            "hello",
            backends=[describe_for_page(each) for each in controls.backends.values()],
            missing=[
                {"name": name, "why": why} for name, why in controls.missing.items()
            ],
            notes=controls.notes,
        )
        self._strip.repeat()
        self._strip.changed(self._painter.waiting())
        for name in sorted(IMAGE_OPTIONS):
            self._send_input(name)
        self.send_checks("backend")
        self._send_presets()
        self._work.soon(self._send_loras)
        self._work.soon(self._send_memory)
        self._ask_boxes(message)

    def _send_loras(self) -> None:
        loras, why = list_loras(self._studio.settings)
        self._strip.tell("loras", loras=loras, why=why)

    def _send_memory(self) -> None:
        text = describe_memory(self._controls.backend, self._studio.settings)
        self._strip.tell("memory", text=text)

    def _ask_boxes(self, message: PageMessage) -> None:
        """Ask the cloud on a thread of its own: it may take its time, or be away."""
        self._work.aside(tell_boxes, self._studio, self._controls, self._strip)

    def _send_presets(self) -> None:
        self._strip.tell("presets", names=[*load_presets(presets_path())])

    def _draw(self, message: PageMessage) -> None:
        self._form.fill(message["form"])  # as typed, however busy the kernel was
        self.draw()

    def _check(self, message: PageMessage) -> None:
        self._form.fill(message["form"])
        self.send_checks()

    def _save_preset(self, message: PageMessage) -> None:
        self._form.fill(message["form"])
        preset = DrawingPreset(**self._controls.preset_values())
        save_preset(presets_path(), str(message["name"]), preset)
        self._send_presets()
        self._strip.said(f"preset saved: {message['name']}")

    def _use_preset(self, message: PageMessage) -> None:
        preset = named_preset(presets_path(), str(message["name"]))
        self._controls.apply_preset(preset.arguments())
        self._strip.said(f"preset: {message['name']}")
        self.send_checks("backend")

    def _remove_preset(self, message: PageMessage) -> None:
        remove_preset(presets_path(), str(message["name"]))
        self._send_presets()
        self._strip.said(f"preset removed: {message['name']}")

    def _recall(self, result: DrawnResult, message: PageMessage) -> None:
        self.take(_original_of(result), str(message["part"]))

    def _reproduce(self, result: DrawnResult, message: PageMessage) -> None:
        record, cloud = result.picture.record, self._controls.to_cloud()
        name = self._controls.name_of(record.backend)
        again = drawing_request_again(record, name, cloud)
        self._painter.add([again])

    def _vary(self, result: DrawnResult, message: PageMessage) -> None:
        count, strength = int(message["count"]), message.get("strength")
        requests = self._controls.variations(result.picture.record, count, strength)
        self._painter.add(requests)

    def _mark(self, result: DrawnResult, message: PageMessage) -> None:
        checked_mark(message["tag"])
        self._tag(result, message)

    def _rate(self, result: DrawnResult, message: PageMessage) -> None:
        self._retag(result, make_rating_change(message["stars"] or None))

    def _tag(self, result: DrawnResult, message: PageMessage) -> None:
        tags = [str(message["tag"])]
        on = bool(message["on"])
        self._retag(result, make_tag_change(tags if on else (), () if on else tags))

    def _retag(self, result: DrawnResult, change: TagChange) -> None:
        self._studio.retag(result.picture, change)
        tags = self._studio.lookup.tags_of([result.id]).get(result.id, ())
        self._strip.results.tag(result.id, tags)
        self._strip.tell("tags", id=result.id, tags=tags)

    def _send_whole(self, result: DrawnResult, message: PageMessage) -> None:
        """Send the picture as large as it is, and all that is known of it."""
        picture = result.picture
        try:
            data = picture.path.read_bytes()
        except OSError as error:
            raise BackendError(f"the picture {explain_unreadable(error)}") from None
        png = len(data) <= _MAX_WHOLE_BYTES
        if not png:
            data = encode_webp(picture.image, _LARGE_SIDE, _LARGE_BYTES)
        self._strip.tell(
            "whole",
            data,
            id=result.id,
            name=picture.path.name if png else f"{picture.path.stem}.webp",
            type="image/png" if png else "image/webp",
            facts=list_facts(picture),
            call=describe_call(picture.record),
            before="init_image" in recorded_inputs(picture.record),
        )

    def _send_before(self, result: DrawnResult, message: PageMessage) -> None:
        """Send the init image, as large as the picture."""
        record = result.picture.record
        folders = self._folders_of(_original_of(result))
        image = load_inputs(record, folders, ["init_image"])["init_image"]
        shown = image.image(record.width, record.height)
        data = encode_webp(shown, _LARGE_SIDE, _LARGE_BYTES)
        self._strip.tell("before", data, id=result.id)

    def _start_from(self, result: DrawnResult, message: PageMessage) -> None:
        self.use_as_init_image(_original_of(result))
        self._strip.said("this picture is the init image now")


def checked_mark(tag: object) -> str:
    """Return keeper or reject. Raise `UsageError` for any other tag."""
    if tag not in (KEEPER, REJECT):
        meant = describe_meant(tag, (KEEPER, REJECT))
        raise UsageError(f"a picture is {KEEPER} or {REJECT}, not {tag}{meant}")
    return str(tag)


def _original_of(result: DrawnResult) -> Original:
    return Original(result.picture.record, result.picture.path)


_PAGE_ACTIONS: dict[str, Callable[[Page, PageMessage], None]] = {
    "hello": Page._hello,
    "draw": Page._draw,
    "check": Page._check,
    "save-preset": Page._save_preset,
    "use-preset": Page._use_preset,
    "boxes": Page._ask_boxes,
    "remove-preset": Page._remove_preset,
}
_QUEUE_ACTIONS: dict[str, Callable[[Painter, PageMessage], None]] = {
    "cancel": lambda painter, message: painter.cancel(),
    "resume": lambda painter, message: painter.resume(),
    "remove": lambda painter, message: painter.remove(int(message["id"])),
    "remove-all": lambda painter, message: painter.remove_all(),
    "retry": lambda painter, message: painter.retry(int(message["id"])),
    "move": lambda painter, message: painter.move(
        int(message["id"]), int(message["by"])
    ),
}
_PICTURE_ACTIONS: dict[str, Callable[[Page, DrawnResult, PageMessage], None]] = {
    "recall": Page._recall,
    "reproduce": Page._reproduce,
    "vary": Page._vary,
    "mark": Page._mark,
    "rate": Page._rate,
    "tag": Page._tag,
    "whole": Page._send_whole,
    "before": Page._send_before,
    "start-from": Page._start_from,
}
