"""What survives an interruption of a training: LoRA, optimiser, and the step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from imagen_nb.errors import StorageError
from imagen_nb.system.atomic import (
    explain_folder_errors,
    flush_folder,
    write_atomically,
)
from imagen_nb.system.locks import describe_holder

_CHECKPOINT, _TRAINING_LOCK = "checkpoint.pt", "lock"


class Workplace:
    """The folder of one training, beside the LoRA that it will give.

    Invariant: only the holder of its lock writes in it, and the checkpoint in it is
    whole.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.with_name(f"{output.stem}.training")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for the block; raise `StorageError` if another process does."""
        with explain_folder_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _TRAINING_LOCK)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                holder = describe_holder(self.folder / _TRAINING_LOCK)
                raise StorageError(f"{holder} trains {self.output}") from None
        try:
            yield
        finally:
            lock.release()
            (self.folder / _TRAINING_LOCK).unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state, instead of the one before."""
        import torch

        file = BytesIO()
        torch.save(state, file)
        with explain_folder_errors(self.folder):
            write_atomically(self.folder / _CHECKPOINT, file.getvalue())
            flush_folder(self.folder)

    def load(self, purpose: str) -> dict[str, Any] | None:
        """Return the state of a training with this purpose; None if none was kept.

        Raises:
            StorageError: if what was kept is of another training, or torn.
        """
        import torch

        path = self.folder / _CHECKPOINT
        if not path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            known = state["purpose"]
        except Exception as error:  # torch, pickle, zipfile: of any class
            raise StorageError(
                f"{path} cannot be read ({type(error).__name__}): remove it"
            ) from None
        if known != purpose:
            raise StorageError(
                f"{path} is of a training with other pictures or settings: remove it, or"
                " choose another output"
            )
        return state

    def lora_path(self, step: int) -> Path:
        """Return the file of the LoRA as it was after so many steps."""
        return self.folder / f"{self.output.stem}-{step:06d}.safetensors"

    def clear(self) -> None:
        """Remove what a finished training needs no more; LoRAs of previews stay."""
        (self.folder / _CHECKPOINT).unlink(missing_ok=True)


@contextmanager
def interrupts_noted() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets in the block, so that a step can be finished.

    A second Ctrl-C interrupts at once. In other threads than the main one, where Ctrl-C
    never arrives, nothing sets it.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
