"""Studio: the session that wires configuration, backends, files, catalog and cloud."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.backends import Backend, Progress
from imagen_nb.backends.session import Backends
from imagen_nb.config.settings import Settings, load_settings
from imagen_nb.errors import UsageError
from imagen_nb.request.request import Size, with_seed
from imagen_nb.request.sweep import Axis, expanded_prompts
from imagen_nb.storage.picture import Picture
from imagen_nb.studio.arguments import Arguments
from imagen_nb.studio.drawing import Drawing
from imagen_nb.studio.library import Library
from imagen_nb.studio.pictures import Pictures
from imagen_nb.studio.reproduce import compared, request_again, request_like

if TYPE_CHECKING:
    from imagen_nb.storage.writer import ForeignPicture
    from imagen_nb.studio.lookup import What


class Studio(Library):
    """One session. Invariant: a picture is on disk and in the catalog before a call returns it.

    Args:
        settings: nested as imagen.yaml is, or whole Settings; they win over environment and file.
        config: the configuration file, instead of $IMAGEN_CONFIG or ~/.config/imagen.yaml.
        background: copy pictures to the cloud by itself, after they are drawn; otherwise only
            `sync` does.

    Raises:
        ConfigError: for a setting that cannot be used.
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, Any] | None = None,
        *,
        config: Path | None = None,
        background: bool = True,
    ) -> None:
        whole = (
            settings
            if isinstance(settings, Settings)
            else load_settings(settings, config)
        )
        super().__init__(whole, background=background)
        self._backends = Backends(*whole.backend_choice(), whole.options_of)
        self._arguments = Arguments(whole, self._backends, self.lookup)
        self._drawing = Drawing(
            whole, self._backends, self._folders, self._writer, self._uplink
        )

    def generate(
        self,
        /,
        prompt: str | None = None,
        *,
        like: What | None = None,
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
        **backend_options: Any,
    ) -> Picture:
        """Draw one picture and keep it: PNG, sidecar and catalog entry are there when it returns.

        Args:
            prompt: what to draw.
            like: start from this picture (all that `reproduce` takes) and change what else is
                given. Its tags are not taken.
            seed: 0 … 2^53-1; None draws one by lot. The same request with the same seed is the
                same picture.
            steps: denoising steps; None is the model's own number.
            width: pixels; None is the model's own size.
            height: pixels, as width.
            guidance: guidance scale; None is the model's own.
            backend: a name of `imagen models`, or auto; None is the configured one.
            tags: labels to find it by.
            cloud: False marks it never to be copied to the cloud; None follows the configuration.
            output: a folder, or a file ending in .png, instead of the configured folder. A file
                of that name is not overwritten: the next one is called -2.
            again: False gives a picture of today with these very settings, where there is one,
                instead of drawing it again.
            progress: called after each step; True or False shows or hides the bar, which in a
                notebook has a small picture of what is being drawn (`preview: off` leaves it out).
            **backend_options: max_sequence_length, and where the model takes them: init_image=…, a
                file, a picture in any form that `reproduce` takes, a PIL image or an array, to
                start from or to edit; mask=…, likewise, white where it is painted anew; strength=…,
                how much is drawn anew, 0 to 1; negative_prompt=… and true_cfg=…, the scale of
                classifier-free guidance; scheduler=…, a name. And what the backend is made with:
                model=…; loras=… of the FLUX backends, a .safetensors file, a (file, weight) pair,
                or a list of these; memory={"quantization": "int8", …} of local ones. See
                docs/models.md.

        Raises:
            UsageError: for arguments that cannot be drawn; nothing was done.
            BackendError: when the model is missing or the picture came out broken.
            StorageError: when it cannot be kept (disk full, folder not writable).
            Cancelled: after `cancel()`.
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
        with self._drawing.call(cloud, output, progress, again) as call:
            if like is not None:
                chosen, request = request_like(
                    self.lookup.original(like, cloud),
                    self._arguments,
                    given,
                    backend=backend,
                    tags=tags,
                    cloud=cloud,
                )
            elif prompt is not None:
                chosen, request = self._arguments.request(
                    **given, backend=backend, tags=tags, cloud=cloud
                )
            else:
                raise UsageError("nothing to draw: give a prompt, or like= a picture")
            return self._drawing.draw(chosen, [request], call)[0]

    def reproduce(
        self,
        what: What,
        /,
        *,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        output: str | Path | None = None,
        progress: Progress | bool | None = None,
        **backend_options: Any,
    ) -> Picture:
        """Draw a picture again, from all that is recorded of it, and compare.

        With the same backend, versions and device the pixels are identical, and `.identical` says
        so; otherwise a line on stderr, and `.differs`, say what is not as it was.

        Args:
            what: an id (or its first 8 digits), a row of a history, a PNG, a sidecar, a Record or a
                Picture. A PNG is enough by itself.
            tags: see `generate`; the original's are not taken.
            cloud: see `generate`.
            output: see `generate`.
            progress: see `generate`.
            **backend_options: what the record does not say, such as the folder of a model.

        Raises:
            UsageError: for what is no picture, or is nowhere to be found.
            BackendError: when its model is not here.
            StorageError: for a file without a record.
            CloudError: when it is to be looked up in the cloud, and that cannot be read.
        """
        with self._drawing.call(cloud, output, progress) as call:
            original = self.lookup.original(what, cloud)
            alike, request = request_again(
                original, self._arguments, backend_options, tags=tags, cloud=cloud
            )
            picture = self._drawing.draw(alike, [request], call)[0]
        return compared(picture, original, alike, self.lookup.reader(cloud))

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
        **backend_options: Any,
    ) -> Pictures:
        """Draw every combination of the lists and keep them: prompt slowest, seed fastest.

        Alternatives in prompts, `{red|blue} boat`, expand in order. Arguments and errors are those
        of `generate`, each a value or a list of values (strength, true_cfg, scheduler and
        negative_prompt, too); `size` is (width, height) in pixels, either of them None for the
        model's own.
        """
        with self._drawing.call(cloud, output, progress, again) as call:
            chosen, combined = self._arguments.grid(
                expanded_prompts(prompt),
                backend=backend,
                seeds=seeds,
                steps=steps,
                guidance=guidance,
                size=size,
                tags=tags,
                cloud=cloud,
                **backend_options,
            )
            pictures = self._drawing.draw(chosen, combined.requests, call)
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
        **arguments: Any,
    ) -> Pictures:
        """Draw one prompt, whose braces are braces, once with each of these seeds.

        Other arguments and errors are those of `generate`.
        """
        with self._drawing.call(cloud, output, progress, again) as call:
            chosen, first = self._arguments.request(
                prompt, seed=seeds[0], cloud=cloud, **arguments
            )
            requests = [with_seed(first, seed, chosen.limits) for seed in seeds]
            pictures = self._drawing.draw(chosen, requests, call)
        return Pictures(
            pictures, (Axis("seed", tuple(seeds)),) if len(seeds) > 1 else ()
        )

    def adopt(
        self,
        drawn: Sequence[ForeignPicture],
        *,
        tags: Iterable[str] = (),
        cloud: bool | None = None,
    ) -> list[Future[Picture]]:
        """Keep pictures that another program part drew, on a thread of their own.

        Whatever looks at pictures (`history`, `sync`, `tag` …) waits until they are there, and so
        does the end of the program. The records' tags, owner and cloud are this session's.

        Raises:
            UsageError: for what is no tag.
            StorageError: when the folder cannot be written to.
            Cancelled: when this session is closed; none of them is kept.
        """
        self._writer.require_open()
        home = self._folders.folder()
        self._uplink.warn(cloud)
        common = {
            "tags": self._arguments.tags(tags),
            "owner_user_id": self.settings.owner_user_id,
            "cloud": self._uplink.wants(cloud),
        }
        announce = partial(self._uplink.drawn, cloud=cloud)
        return self._writer.adopt(drawn, home, common, announce)

    def drawing(self) -> AbstractContextManager[None]:
        """Around drawing that is not this session's: nothing is begun to be sent meanwhile."""
        return self._uplink.drawing()

    def cancel(self) -> None:
        """Stop all drawing that is under way, or about to begin, at its next step.

        Callable from any thread.
        """
        self._drawing.cancel()

    def drawing_with(self, name: str | None = None) -> tuple[Backend, str]:
        """What draws under this name, the configured one by default, not loaded for that.

        With it comes, once in a session, why auto chose it; else nothing.
        """
        backend = self._backends.get(name)
        return backend, self._backends.why(backend)

    def __repr__(self) -> str:
        name, _ = self.settings.backend_choice()
        return f"<Studio {name}, {self.settings.output.dir}>"

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
