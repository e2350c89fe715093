"""`autolog`: switch the recording of pipelines on and off."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable

from imagen_nb.request.validation import checked_tags
from imagen_nb.studio import default
from imagen_nb.studio.autolog.patching import Observer, unwrap_calls, wrap_calls
from imagen_nb.studio.autolog.recorder import Recorder
from imagen_nb.system.import_hooks import forget_import_hook, when_imported
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import print_notice

_PIPELINE_MODULE = "diffusers.pipelines.pipeline_utils"
_PIPELINE_CLASS = "DiffusionPipeline"

_recorder_lock = threading.Lock()
_recorder: Recorder | None = None


@known_arguments
def autolog(
    disable: bool = False, *, tags: Iterable[str] = (), cloud: bool | None = None
) -> None:
    """Keep every picture that diffusers pipelines draw in this program.

    From now on each call of a pipeline whose result has `.images` is recorded as
    `generate` records its own pictures: as files with the prompt, seed, settings and
    versions, in the history, and in the cloud. The calls return what they did before,
    pixel for pixel; when a picture cannot be kept, a line on stderr says so.

    Args:
        disable: stop recording and leave the pipelines as they were.
        tags: labels for these pictures.
        cloud: False marks them never to be copied to the cloud; None follows the
            configuration.

    Raises:
        UsageError: for what is no tag.
        ConfigError: for a configuration that cannot be used.

    Example:
        >>> from diffusers import FluxPipeline
        >>> from imagen_nb.backends.tiny import WEIGHTS  # or a model of yours
        >>> im.autolog(tags=["exp-3"])
        >>> pipeline = FluxPipeline.from_pretrained(WEIGHTS)
        >>> image = pipeline("a red boat", width=128, height=128).images[0]
        >>> im.autolog(disable=True)
    """
    global _recorder
    with _recorder_lock:
        if disable:
            _recorder = None
            forget_import_hook(_PIPELINE_MODULE, _wrap_pipelines)
            base = _pipeline_class()
            if base:
                unwrap_calls(base)
            return
        destination = _describe_destination(cloud)
        _recorder = Recorder(default.studio, checked_tags(tags), cloud)
    when_imported(_PIPELINE_MODULE, _wrap_pipelines)
    print_notice(f"autolog: what diffusers pipelines draw is kept in {destination}")


def _describe_destination(cloud: bool | None) -> str:
    studio = default.studio()
    copied = " and copied to your Supabase" if studio.copies(cloud) else ""
    return f"{studio.settings.output.dir}{copied}"


def _wrap_pipelines() -> None:
    base = _pipeline_class()
    if base:
        wrap_calls(base, _current_recorder)
    else:  # an error would break somebody's import
        print_notice(
            f"autolog: this diffusers has no {_PIPELINE_CLASS}: nothing is recorded"
        )


def _pipeline_class() -> type | None:
    base: type | None = getattr(
        sys.modules.get(_PIPELINE_MODULE), _PIPELINE_CLASS, None
    )
    return base


def _current_recorder() -> Observer | None:
    return _recorder
