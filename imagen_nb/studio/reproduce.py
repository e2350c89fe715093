"""Draw a picture again, or one like it, from its record; and say what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePath
from typing import Any

from imagen_nb.backends import (
    REMOTE,
    Backend,
    backend_names,
    is_remote,
    may_differ,
)
from imagen_nb.backends.flux.loras import loras_of_record
from imagen_nb.cloud.client import Cloud
from imagen_nb.cloud.inputs import download_input
from imagen_nb.errors import BackendError, CloudError, UsageError
from imagen_nb.request.options import IMAGE_OPTIONS, OPTION_NAMES
from imagen_nb.request.request import Request, resolve
from imagen_nb.storage.input_files import load_inputs
from imagen_nb.storage.picture import Picture
from imagen_nb.storage.record import Record
from imagen_nb.studio.arguments import RequestBuilder
from imagen_nb.studio.lookup import Original, has_same_pixels
from imagen_nb.studio.redraw import limits_to_redraw, redrawable_record
from imagen_nb.studio.replay import ReplayBackend, ReplayElsewhere
from imagen_nb.system.terminal import print_notice

_COMMON_ARGUMENTS = ("prompt", "seed", "width", "height")  # of every model
_FIELD_OF_MODEL_ARGUMENT = {  # arguments of some models, and a record's fields for them
    "steps": "steps",
    "guidance": "guidance",
    "max_sequence_length": "max_sequence_length",
    "strength": "strength",
    "negative_prompt": "negative_prompt",
    "true_cfg": "true_cfg",
    "scheduler": "scheduler_name",
}
_COMPARED_FIELDS = (  # where one differs, pixels may
    "model",
    "device",
    "threads",
    "dtype",
    "scheduler",
    "batch_size",
    "memory_plan",
)
_IGNORED_VERSIONS = {"prediction"}  # it names a single drawing, not a program


def request_like(
    original: Original,
    builder: RequestBuilder,
    given: Mapping[str, Any],
    *,
    backend: str | None,
    tags: Iterable[str],
    cloud: bool | None,
) -> tuple[Backend, Request]:
    """Return a backend and a request for a picture like this one.

    Args:
        original: the picture.
        builder: builds the request.
        given: arguments of `Studio.generate` that replace the recorded ones; None is
            not given.
        backend: the name of another backend, or None.
        tags: of the new picture.
        cloud: see `Studio.generate`.

    Raises:
        BackendError: if the recorded backend is not installed, or the picture cannot be
            drawn from its record.
    """
    named = backend and backend != REMOTE
    record = original.record if named else redrawable_record(original.record)
    name = f"{REMOTE}:{record.backend}" if backend == REMOTE else backend
    name = name or record.backend
    same = name in (record.backend, f"{REMOTE}:{record.backend}")
    options = {}
    if same:
        options = _recorded_options(original, record, name, builder, given, cloud)
    like = {**options, **arguments_like(record, given, same)}
    chosen, request = builder.request(**like, backend=name, tags=tags, cloud=cloud)
    return chosen, _derived_from(original.record, "like", request)


def request_again(
    original: Original,
    builder: RequestBuilder,
    options: Mapping[str, Any],
    *,
    tags: Iterable[str],
    cloud: bool | None,
    elsewhere: str | None = None,
) -> tuple[ReplayBackend, Request]:
    """Return the request that a picture was drawn from, and a backend that repeats it.

    `options`: of the backend, instead of the recorded ones; `elsewhere`: "remote", to
    have another machine draw. Other arguments and errors are those of `request_like`.
    """
    record = redrawable_record(original.record)
    name = _name_to_redraw(record, elsewhere)
    recorded = _recorded_options(original, record, name, builder, options, cloud)
    chosen = builder.choose(name, recorded, cloud)
    backend = chosen.backend
    request = resolve(
        record.prompt,
        defaults=backend.defaults,
        limits=limits_to_redraw(record, backend.limits),
        seed=record.seed,
        steps=record.steps,
        width=record.width,
        height=record.height,
        guidance=record.guidance,
        max_sequence_length=record.max_sequence_length,
        tags=builder.tags(tags),
        options=recorded_options(record) | chosen.request_options,
    )
    again = _derived_from(original.record, "reproduce", request)
    replay = ReplayElsewhere if elsewhere else ReplayBackend
    return replay(backend, record), again


def _name_to_redraw(record: Record, elsewhere: str | None) -> str:
    """Return the name of the recorded backend, here or elsewhere.

    Raises `UsageError` for another one.
    """
    there = f"{REMOTE}:{record.backend}"
    if elsewhere not in (None, REMOTE, there):
        raise UsageError(
            f"reproduce draws with the recorded backend, here or with backend={REMOTE!r}:"
            f" {elsewhere} is neither (generate(like=…, backend=…) takes others)"
        )
    return there if elsewhere else record.backend


def _derived_from(record: Record, how: str, request: Request) -> Request:
    """Return the request with a note of the picture that it repeats or varies."""
    parent = {"how": how, "id": str(record.id), "sha256": record.sha256}
    return replace(request, derived_from=(parent,))


def with_comparison(
    picture: Picture, original: Original, drawn_by: ReplayBackend, cloud: Cloud | None
) -> Picture:
    """Return the picture with `identical` and `differs` set, and say what differs.

    What differs is a line on stderr. `cloud`: where the original's file is read from if
    it is not on this machine.
    """
    same = has_same_pixels(original, picture.image, cloud)
    differs = (
        *drawing_differences(drawn_by.record, drawn_by.drawn_with),
        *_keeping_differences(original.record, picture.record),
    )
    line = describe_comparison(same, differs, drawn_by.inner)
    if line:
        print_notice(f"reproduce: {line}")
    return replace(picture, identical=same, differs=differs)


def arguments_like(
    record: Record, given: Mapping[str, Any], same_model: bool
) -> dict[str, Any]:
    """Return the arguments of `Studio.generate` for this picture, with `given` on top.

    For another model only those that mean the same to every model.
    """
    values = {name: getattr(record, name) for name in _COMMON_ARGUMENTS}
    if same_model:
        for name, field in _FIELD_OF_MODEL_ARGUMENT.items():
            values[name] = getattr(record, field)
    return values | {name: value for name, value in given.items() if value is not None}


def recorded_options(record: Record) -> dict[str, Any]:
    """Return those of `request.options.OPTION_NAMES` that the record has: all but images."""
    return {
        name: getattr(record, _FIELD_OF_MODEL_ARGUMENT[name])
        for name in OPTION_NAMES
        if name in _FIELD_OF_MODEL_ARGUMENT
    }


def backend_options(
    record: Record, configured: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options to make a picture's backend with: given, or as recorded.

    LoRAs are never the configured ones, and the model only if none is recorded. Raises
    BackendError if a LoRA's file is missing, or is another file than then.
    """
    options = {**record.options, **given}
    if "loras" not in given and (record.loras or "loras" in configured):
        options["loras"] = loras_of_record(record.loras) or None
    has_model = options.get("model") or configured.get("model")
    if record.backend == "flux" and not has_model:
        options["model"] = record.model
    return options


def options_elsewhere(record: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what another machine is told of a picture's backend: model and LoRAs.

    The LoRAs by the names of their files; `given` wins.
    """
    recorded = {
        "model": record.options.get("model"),
        "loras": [
            (PurePath(str(one.get("path"))).name, one.get("weight", 1))
            for one in record.loras
        ],
    }
    return {name: value for name, value in {**recorded, **given}.items() if value}


def validated_backend_name(name: str) -> str:
    """Return the name of a record's backend. Raises BackendError if there is none."""
    if name not in backend_names():
        raise BackendError(
            f"the picture was drawn with the backend {name}, which is not installed:"
            " install it, or draw like it with another one: generate(like=…, backend=…)"
        )
    return name


def drawing_differences(
    record: Record, drawn_with: Mapping[str, Any]
) -> tuple[str, ...]:
    """Say in what two drawings differ, e.g. ("device was cuda:0, is cpu",).

    `record`: of the first one; `drawn_with`: record fields of the other. What one of
    them does not know is no difference.
    """
    versions = drawn_with.get("versions", {})
    pairs = [
        (name, getattr(record, name), drawn_with.get(name)) for name in _COMPARED_FIELDS
    ]
    pairs += [
        (name, then, versions.get(name))
        for name, then in record.versions.items()
        if name not in _IGNORED_VERSIONS
    ]
    return tuple(
        f"{name.replace('_', ' ')} was {then}, is {now}"
        for name, then, now in pairs
        if then is not None and now is not None and then != now
    )


def _keeping_differences(then: Record, now: Record) -> tuple[str, ...]:
    """Say in what two pictures differ that no backend decides: how they were kept.

    A watermark that a record does not name was not written.
    """
    before, after = then.watermark or "none", now.watermark or "none"
    return (f"watermark was {before}, is {after}",) if before != after else ()


def describe_comparison(
    same: bool | None, differs: Sequence[str], backend: Backend
) -> str:
    """Say in one line what differs between a picture and its original; "" for nothing.

    `same`: whether the pixels are; None if there is nothing to compare them with.
    """
    if differs:
        return "; ".join(differs)
    unsure = may_differ(backend)
    if same is None:
        return f"the pixels may be others: {unsure}" if unsure else ""
    if same:
        return ""
    return (
        f"other pixels, and {unsure or 'nothing recorded is why: another processor?'}"
    )


def _recorded_options(
    original: Original,
    record: Record,
    name: str,
    builder: RequestBuilder,
    given: Mapping[str, Any],
    cloud: bool | None,
) -> dict[str, Any]:
    """Return the options of a picture's backend, and the images it was drawn from.

    `name`: of the backend that is to draw, here or elsewhere.
    """
    in_force, configured = builder.settings.backend_choice()
    if in_force != validated_backend_name(record.backend):
        configured = {}
    if is_remote(name):
        options = options_elsewhere(record, given)
    else:
        options = backend_options(record, configured, given)
    folders = [catalog.folder for catalog in builder.lookup.catalogs()]
    if original.path:
        folders.insert(0, original.path.parent)
    missing = [image for image in IMAGE_OPTIONS if given.get(image) is None]
    fetch = partial(_fetch_input, original.record, builder.lookup.reader(cloud))
    return {**load_inputs(record, folders, missing, fetch), **options}


def _fetch_input(
    record: Record, cloud: Cloud | None, values: Mapping[str, Any]
) -> bytes | None:
    """Return an input that is not on this machine, from the cloud; None if it fails."""
    if cloud is None:
        return None
    try:
        return download_input(record, values, cloud)
    except CloudError as error:
        print_notice(f"the {values.get('name')} is not in the cloud either: {error}")
        return None
