"""Studio: the session that wires configuration, backends, files, catalog and cloud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from imagen_nb.backends import Progress
from imagen_nb.backends.session import Backends
from imagen_nb.config.settings import Settings, load_settings
from imagen_nb.errors import UsageError
from imagen_nb.request.request import Size, with_seed
from imagen_nb.request.sweep import Axis, expanded_prompts
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.arguments import (
    RequestBuilder,
    describe_missing_prompt,
    note_braces,
    note_single_seed,
    suggesting_arguments,
)
from imagen_nb.studio.drawing import RequestDrawer
from imagen_nb.studio.elsewhere.handle import RemoteJob
from imagen_nb.studio.lora_training import LoraTraining
from imagen_nb.studio.pictures import Pictures
from imagen_nb.studio.reproduce import request_again, request_like, with_comparison

if TYPE_CHECKING:
    from imagen_nb.studio.lookup import PictureRef


class Studio(LoraTraining):
    """One session: draws pictures, keeps them, and finds them again.

    Invariant: a picture is on disk and in the catalog before a method returns it.

    Args:
        settings: nested as in imagen.yaml, or complete Settings; they take precedence
            over environment variables and the configuration file.
        config: the configuration file, instead of $IMAGEN_CONFIG or
            ~/.config/imagen.yaml.
        background: copy what was drawn to the cloud on a thread of its own; otherwise
            only `sync` does.

    Raises:
        ConfigError: for a setting that cannot be used.

    Example:
        >>> with im.Studio({"backend": "auto", "output": {"dir": "~/boats"}}) as boats:
        ...     boat = boats.generate("a red boat", seed=1)
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, Any] | None = None,
        *,
        config: Path | None = None,
        background: bool = True,
    ) -> None:
        if not isinstance(settings, Settings):
            settings = load_settings(settings, config)
        super().__init__(settings, background=background)
        self._backends = Backends(
            *settings.backend_choice(), settings.options_of, self._remote_backend
        )
        self._builder = RequestBuilder(settings, self._backends, self.lookup)
        self._drawer = RequestDrawer(
            settings,
            self._backends,
            self._folders,
            self._writer,
            self._uplink,
            self.drawing,
            self._announce,
        )

    @overload
    def generate(
        self,
        /,
        prompt: str | None = None,
        *,
        like: PictureRef | None = None,
        seed: int | None = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        guidance: float | None = None,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        again: bool = True,
        progress: Progress | bool | None = None,
        wait: Literal[True] = True,
        **backend_options: Any,
    ) -> Picture: ...
    @overload
    def generate(
        self, /, prompt: str | None = None, *, wait: Literal[False], **arguments: Any
    ) -> RemoteJob: ...
    @suggesting_arguments
    def generate(
        self,
        /,
        prompt: str | None = None,
        *,
        like: PictureRef | None = None,
        seed: int | None = None,
        steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        guidance: float | None = None,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        again: bool = True,
        progress: Progress | bool | None = None,
        wait: bool = True,
        **backend_options: Any,
    ) -> Picture | RemoteJob:
        """Draw one picture and keep it: as PNG, sidecar and catalog entry.

        Args:
            prompt: what to draw.
            like: start from this picture, in any form that `reproduce` takes, and
                change only what else is given. Its tags are not taken over.
            seed: 0 … 2^53-1; None chooses one at random. The same request with the same
                seed gives the same picture.
            steps: denoising steps; None is the model's default.
            width: pixels; None is the model's default.
            height: pixels; None is the model's default.
            guidance: guidance scale; None is the model's default.
            backend: a name of `imagen models`, or "auto"; "remote" or "remote:NAME" for
                a machine that runs `imagen work`; None is the configured one.
            tags: labels to find it by.
            cloud: False marks it never to be copied to the cloud; None follows the
                configuration.
            output: a folder, or a file ending in .png, instead of the configured
                folder. Never overwrites a file: the next one of that name ends in -2.
            again: False returns a picture of today with the same settings, if any.
            progress: called after each step; True or False shows or hides the bar,
                which in a notebook has a small preview (unless `preview: off`).
            wait: False, for remote backends, returns a handle at once, a `RemoteJob`.
            **backend_options: what else this backend takes, see below and
                docs/models.md.

        Of the request, if the model takes them: max_sequence_length=…; init_image=…, to
        start from or to edit: a file, a picture in any form that `reproduce` takes, a
        PIL image or an array; mask=…, likewise, white where the image is painted anew;
        strength=…, how much of it is drawn anew, 0 to 1; negative_prompt=… and
        true_cfg=…, the scale of classifier-free guidance; scheduler=…, a name.

        Of the backend: model=…; loras=…, for the FLUX backends: a .safetensors file, a
        (file, weight) pair, or a list of these; memory={"quantization": "int8", …}, for
        local ones.

        Raises:
            UsageError: for arguments that cannot be drawn; nothing was done.
            BackendError: if the model is missing, or the picture came out broken.
            StorageError: if it cannot be kept (disk full, folder not writable).
            Cancelled: after `cancel()`.

        Example:
            >>> picture = im.generate("a red boat at sunset", seed=7, tags=["boats"])
            >>> im.generate(like=picture, steps=8)
        """
        given = {
            "prompt": prompt,
            "seed": seed,
            "steps": steps,
            "width": width,
            "height": height,
            "guidance": guidance,
            **backend_options,
        }
        with self._drawer.call(cloud, output, progress, again) as call:
            if like is not None:
                chosen, request = request_like(
                    self.lookup.original(like, cloud),
                    self._builder,
                    given,
                    backend=backend,
                    tags=tags,
                    cloud=cloud,
                )
            elif prompt is not None:
                chosen, request = self._builder.request(
                    **given, backend=backend, tags=tags, cloud=cloud
                )
            else:
                raise UsageError(describe_missing_prompt(backend_options))
            if prompt is not None:
                note_braces(request.prompt)
            if not wait:
                return self._hand_out(chosen, [request], call)[0]
            return self._drawer.draw(chosen, [request], call)[0]

    @suggesting_arguments
    def reproduce(
        self,
        what: PictureRef,
        /,
        *,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        progress: Progress | bool | None = None,
        **backend_options: Any,
    ) -> Picture:
        """Draw a picture again, from all that is recorded of it, and compare the two.

        With the same backend, versions and device the pixels are identical, and
        `.identical` says so; otherwise a line on stderr, and `.differs`, say what
        differs.

        Args:
            what: an id (or its first 8 digits), a row of a history, a PNG, a sidecar, a
                Record or a Picture. A PNG is enough by itself: its record is inside.
            backend: "remote" to have another machine draw it; by default this one does.
            tags: see `generate`; the original's are not taken over.
            cloud: see `generate`.
            output: see `generate`.
            progress: see `generate`.
            **backend_options: what the record does not say, such as a model's folder.

        Raises:
            UsageError: for what is no picture, or cannot be found.
            BackendError: if its model is not on this machine.
            StorageError: for a file without a record.
            CloudError: if it must be looked up in the cloud, and that cannot be read.

        Example:
            >>> im.reproduce(im.history().iloc[0]).identical
        """
        with self._drawer.call(cloud, output, progress) as call:
            original = self.lookup.original(what, cloud)
            again, request = request_again(
                original,
                self._builder,
                backend_options,
                tags=tags,
                cloud=cloud,
                elsewhere=backend,
            )
            picture = self._drawer.draw(again, [request], call)[0]
        return with_comparison(picture, original, again, self.lookup.reader(cloud))

    @overload
    def sweep(
        self,
        /,
        prompt: str | Sequence[str],
        *,
        seeds: int | Iterable[int] | None = None,
        steps: int | Iterable[int] | None = None,
        guidance: float | Iterable[float] | None = None,
        size: Size | Iterable[Size] | None = None,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        again: bool = True,
        progress: Progress | bool | None = None,
        wait: Literal[True] = True,
        **backend_options: Any,
    ) -> Pictures: ...
    @overload
    def sweep(
        self, /, prompt: str | Sequence[str], *, wait: Literal[False], **arguments: Any
    ) -> list[RemoteJob]: ...
    @suggesting_arguments
    def sweep(
        self,
        /,
        prompt: str | Sequence[str],
        *,
        seeds: int | Iterable[int] | None = None,
        steps: int | Iterable[int] | None = None,
        guidance: float | Iterable[float] | None = None,
        size: Size | Iterable[Size] | None = None,
        backend: str | None = None,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        again: bool = True,
        progress: Progress | bool | None = None,
        wait: bool = True,
        **backend_options: Any,
    ) -> Pictures | list[RemoteJob]:
        """Draw every combination of the lists: prompts vary slowest, seeds fastest.

        Alternatives in prompts, `{red|blue} boat`, expand in order. `size` is (width,
        height) in pixels, either of them None for the model's default. Other arguments
        and the errors are those of `generate`; each of seeds, steps, guidance, size,
        strength, true_cfg, scheduler and negative_prompt is a value or a list of them:
        `seeds=3` is the seed 3, and a line on stderr says so.

        Example:
            >>> im.sweep("a {red|blue} boat", seeds=range(4), steps=[4, 8])
        """
        note_single_seed(seeds)
        with self._drawer.call(cloud, output, progress, again) as call:
            chosen, combined = self._builder.grid(
                expanded_prompts(prompt, self.wildcards),
                backend=backend,
                seeds=seeds,
                steps=steps,
                guidance=guidance,
                size=size,
                tags=tags,
                cloud=cloud,
                **backend_options,
            )
            if not wait:
                return self._hand_out(chosen, combined.requests, call)
            pictures = self._drawer.draw(chosen, combined.requests, call)
        return Pictures(pictures, combined.axes)

    def repeat(
        self,
        prompt: str,
        seeds: Sequence[int],
        *,
        cloud: bool | None = None,
        output: str | Path | None = None,
        progress: Progress | bool | None = None,
        again: bool = True,
        previews: bool = True,
        **arguments: Any,
    ) -> Pictures:
        """Draw one prompt once with each of these seeds.

        Braces in the prompt are braces, not alternatives. `previews`: False shows no
        growing picture. Other arguments and the errors are those of `generate`.

        Example:
            >>> studio.repeat("a boat {not red}", seeds=[1, 2])
        """
        with self._drawer.call(cloud, output, progress, again, previews) as call:
            chosen, first = self._builder.request(
                prompt, seed=seeds[0], cloud=cloud, **arguments
            )
            requests = [with_seed(first, seed, chosen.limits) for seed in seeds]
            pictures = self._drawer.draw(chosen, requests, call)
        axes = [Axis("seed", tuple(seeds))] if len(seeds) > 1 else []
        return Pictures(pictures, axes)
