"""The part of a session that trains LoRAs on its pictures, and draws what they have learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.errors import StorageError, UsageError
from imagen_nb.request.validation import checked_prompt, checked_tags
from imagen_nb.studio.optimizing.session import Optimizing
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.progress import progress_bar
from imagen_nb.system.spelling import known_arguments
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from imagen_nb.backends.flux.models import Model
    from imagen_nb.backends.flux.training.pictures import TrainingPicture
    from imagen_nb.backends.flux.training.watch import TrainingProgress

TRAINING_TAG = "train-lora"  # of previews
_SUFFIX = ".safetensors"
_USUAL_PREVIEWS = 2  # captions
_PREVIEW_SEED = 0


class LoraTraining(Optimizing):
    """A session's LoRAs: trained on a data set, previewed as pictures of the history."""

    @known_arguments
    def train_lora(
        self,
        folder: str | Path,
        output: str | Path,
        *,
        model: str | None = None,
        steps: int = 1000,
        rank: int = 16,
        learning_rate: float = 1e-4,
        batch: int = 1,
        size: int | None = None,
        seed: int = 0,
        checkpoint_every: int = 250,
        preview_every: int = 0,
        preview_prompts: Sequence[str] = (),
        tags: Iterable[str] = (),
        cloud: bool | None = None,
        progress: Callable[[TrainingProgress], None] | bool | None = None,
    ) -> Path:
        """Train a LoRA on pictures and their captions, for `loras=` of `generate`.

        A training that was broken off (Ctrl-C, or the process died) goes on with the
        same call: what is finished waits in a folder beside the LoRA, "<name>.training".
        Needs the extra `lora`. See docs/train-lora.md for what a card has to have.

        Args:
            folder: a data set of `df.imagen.export`, as "imagefolder" or "kohya", of
                five pictures or more.
            output: the LoRA, a new file that ends in .safetensors.
            model: a name of `imagen models`, a folder or a Hugging Face id, of FLUX.1
                or FLUX.2 [klein]; None is the configured backend's.
            steps: how often the weights are changed.
            rank: of the LoRA's matrices; its size grows with it.
            learning_rate: the highest one, after the first steps.
            batch: pictures in a step.
            size: pixels of a square with the area that pictures are brought to, at
                most; None is the model's own.
            seed: of weights, noise and the order of pictures: the same seed gives the
                same LoRA on the same machine.
            checkpoint_every: steps after which what is learnt is kept.
            preview_every: steps after which previews are drawn and kept, tagged
                "train-lora" and with the LoRA's name; 0 draws none.
            preview_prompts: what previews show; two of the captions unless given.
            tags: of the previews, besides.
            cloud: of the previews, see `generate`.
            progress: called after each step; True or False shows or hides the bar.

        Returns:
            The LoRA's path.

        Raises:
            UsageError: for arguments that cannot be used, a folder without captions, or
                too few pictures.
            BackendError: if peft or the weights are missing, or memory is too small.
            StorageError: if the LoRA is there already, or cannot be kept.

        Example:
            >>> boats = im.sweep("a red boat", seeds=range(5)).frame()
            >>> done = boats.imagen.export("boats", format="imagefolder")
            >>> lora = im.train_lora("boats", "boats.safetensors", steps=2)
            >>> picture = im.generate("a red boat", seed=6, loras=lora)
        """
        from imagen_nb.backends.flux.training.pictures import load_training_pictures
        from imagen_nb.backends.flux.training.settings import TrainingSettings
        from imagen_nb.backends.flux.training.trainer import train
        from imagen_nb.backends.flux.training.watch import TrainingWatch

        settings = TrainingSettings(
            steps=steps,
            rank=rank,
            learning_rate=learning_rate,
            batch=batch,
            size=size or 0,
            seed=seed,
            checkpoint_every=checkpoint_every,
            preview_every=preview_every,
        ).validated()
        path = _new_lora(output)
        row = self._trained_model(model)
        pictures = load_training_pictures(folder)
        prompts = [checked_prompt(text) for text in preview_prompts]
        prompts = prompts or _usual_prompts(pictures)
        labels = checked_tags((TRAINING_TAG, path.stem, *tags))

        def preview(step: int, lora: Path) -> None:
            for prompt in prompts:
                self._draw_preview(row, prompt, lora, labels, cloud)

        with _counting(progress) as (encoding, count):
            last = train(
                row, pictures, path, settings, TrainingWatch(encoding, count, preview)
            )
        if preview_every:
            preview(last.step, path)
        print_notice(
            f"{path}: {last.step} steps on {len(pictures)} pictures in"
            f" {last.seconds:.0f} s, loss {last.loss:.3f}"
        )
        return path

    def _trained_model(self, model: str | None) -> Model:
        from imagen_nb.backends.flux.backend import FluxBackend
        from imagen_nb.backends.local_models import local_model

        if model is not None:
            return local_model(model)
        backend = self._backends.get()
        if not isinstance(backend, FluxBackend):
            raise UsageError(
                f"the backend {backend.name} does not draw here: name the model to"
                " train for, model=…"
            )
        return backend.row

    def _draw_preview(
        self,
        row: Model,
        prompt: str,
        lora: Path,
        tags: Sequence[str],
        cloud: bool | None,
    ) -> None:
        from imagen_nb.backends.local_models import backend_arguments

        options: dict[str, Any] = {**backend_arguments(row), "loras": lora}
        with self._drawer.call(cloud, None, False) as call:
            chosen, request = self._builder.request(
                prompt, seed=_PREVIEW_SEED, tags=tags, cloud=cloud, **options
            )
            self._drawer.draw(chosen, [request], call)


def _new_lora(output: str | Path) -> Path:
    path = absolute_path(output)
    if path.suffix != _SUFFIX:
        raise UsageError(f"a LoRA's file ends in {_SUFFIX}: not {path.name}")
    if path.exists():
        raise StorageError(f"{path} exists: choose another name, or remove it")
    return path


def _usual_prompts(pictures: Sequence[TrainingPicture]) -> list[str]:
    captions = dict.fromkeys(picture.caption for picture in pictures)
    return [*captions][:_USUAL_PREVIEWS]


@contextmanager
def _counting(
    progress: Callable[[TrainingProgress], None] | bool | None,
) -> Iterator[tuple[Callable[[int, int], None], Callable[[TrainingProgress], None]]]:
    """Give what is called while samples are encoded, and after each step."""
    shown = False if callable(progress) else progress
    with (
        progress_bar("encoding", shown) as encoding,
        progress_bar("training", shown) as training,
    ):

        def count(now: TrainingProgress) -> None:
            training(now.step, now.steps)
            if callable(progress):
                progress(now)

        yield encoding, count
