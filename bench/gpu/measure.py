"""Measures one case in this process, through imagen_nb's own backend."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from gpu.cases import Case
from gpu.changes import CHANGES
from imagen_nb.backends.flux.backend import custom
from imagen_nb.backends.flux.memory.plan import memory_of_row
from imagen_nb.errors import BackendError, Cancelled
from imagen_nb.request.request import Request, resolve

PROMPT = "a tiny lighthouse on a stormy cliff, photo"
_BROKEN = "came out broken"  # how the package calls a picture that is NaN or black

Tell = Callable[..., None]  # keeps figures by name


class Measurement:
    """Draws one case and tells what it took: seconds, milliseconds (`_ms`), GB."""

    def __init__(self, case: Case, folder: Path, tell: Tell) -> None:
        self.case, self.tell = case, tell
        self.card = torch.cuda.is_available()
        self.bad = 0  # pictures of random weights that the package refused to give
        self.marks: list[tuple[str, Any, float]] = []
        if not self.card:
            torch.set_num_threads(1)  # cores that others use too
        fast = case.plan == "fast"
        row = {"plan": "fast"} if fast else memory_of_row(case.plan)
        memory = {**row, "batch": 1, **case.more}
        if case.cap_gb and self.card:
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(
                min(1.0, case.cap_gb * 1e9 / total)
            )
            memory = {"batch": 1}
        self.backend = custom(str(folder), memory=memory)
        self.loaded = self.backend._loaded
        self.plan = self.loaded.plan
        tell(
            dtype=self.plan.dtype,
            plan=self.plan.recorded(),
        )

    def run(self) -> None:
        case, tell = self.case, self.tell
        if self.card:
            torch.cuda.reset_peak_memory_stats()
        if case.changes:
            started = time.perf_counter()
            pipeline = self._pipeline()
            for name in case.changes:
                CHANGES[name](pipeline)
            tell(load_s=time.perf_counter() - started)
        tell(first_s=self.draw([self.request(1)]))
        self._tell_peak("peak")
        planned = self.loaded.plan  # for what was drawn
        tell(bad=self.bad, expected_gb=planned.gpu_gb or planned.ram_gb)
        if case.cap_gb:
            tell(plan_after=self.loaded.plan.name)
            return
        if self.loaded.plan.recorded() != self.plan.recorded():
            raise RuntimeError(f"fell back to {self.loaded.plan.name}")
        tell(new_prompt_s=self.draw([self.request(1, "a prompt not known yet")]))
        count = case.pictures
        self._mark_ends_of_phases()
        requests = [self.request(2 + number) for number in range(count)]
        tell(picture_s=self.draw(requests) / count, gap_ms=self._mean_gap_ms())
        self._tell_peak("peak")
        self._measure_bare(count)
        self._measure_keeping(count)
        if case.deep:
            self._measure_callbacks()
            self._measure_previews()
            self._measure_cancelling()
        tell(bad=self.bad)

    def request(self, seed: int, prompt: str = PROMPT) -> Request:
        return resolve(
            prompt,
            defaults=self.backend.defaults,
            limits=self.backend.limits,
            seed=seed,
            steps=self.case.steps,
        )

    def draw(
        self,
        requests: Sequence[Request],
        listen: Callable[[Any], None] | None = None,
        cancel: threading.Event | None = None,
        keep: Callable[[Any], None] = lambda image: None,
    ) -> float:
        """Seconds for all of them. `keep` is called with each picture.

        A broken picture is counted, and the next one drawn: the work was the same.
        """
        started = time.perf_counter()
        done = 0
        while done < len(requests):
            waiting = requests[done:]
            try:
                for drawn in self.backend.draw(
                    waiting, listen, cancel or threading.Event()
                ):
                    done += 1
                    keep(drawn.image)
            except BackendError as error:
                if _BROKEN not in str(error):
                    raise
                self.bad += 1
                done += 1
        self._synchronize()
        return time.perf_counter() - started

    def _pipeline(self) -> Any:
        with self.loaded.lock:
            return self.loaded.pipeline()

    def _synchronize(self) -> None:
        if self.card:
            torch.cuda.synchronize()

    def _event(self) -> Any:
        """A recorded event of the card, or None without one."""
        if not self.card:
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _tell_peak(self, name: str) -> None:
        if not self.card:
            return
        free, total = torch.cuda.mem_get_info()
        figures = {
            f"{name}_gb": torch.cuda.max_memory_allocated() / 1e9,
            f"{name}_reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
            "card_used_gb": (total - free) / 1e9,
        }
        self.tell(**figures)

    def _mark_ends_of_phases(self) -> None:
        """Note when a decoding ends and a denoising begins: between them the card waits."""
        pipeline = self._pipeline()

        def mark(what: str) -> None:
            self.marks.append((what, self._event(), time.perf_counter()))

        pipeline.transformer.register_forward_pre_hook(lambda *_: mark("denoise"))
        decode = pipeline.vae.decode  # a hook of the module would be compiled along

        def decode_and_mark(*given: Any, **more: Any) -> Any:
            result = decode(*given, **more)
            mark("decoded")
            return result

        pipeline.vae.decode = decode_and_mark

    def _mean_gap_ms(self) -> float | None:
        self._synchronize()
        gaps = [
            one[1].elapsed_time(two[1]) if self.card else (two[2] - one[2]) * 1e3
            for one, two in zip(self.marks, self.marks[1:], strict=False)
            if (one[0], two[0]) == ("decoded", "denoise")
        ]
        self.marks.clear()
        return sum(gaps) / len(gaps) if gaps else None

    def _measure_bare(self, count: int) -> None:
        """The same pipeline and embeddings, called as diffusers' documentation does."""
        request, size = self.request(9), self.case.more.get("batch", 1)
        rounds = max(1, count // size)
        try:
            pipeline = self._pipeline()
            with self.loaded.lock:
                embeds = self.loaded.prompts.encoded(pipeline, [request] * size)

            def draw_bare(seed: int) -> None:
                pipeline(
                    **embeds,
                    generator=[
                        torch.Generator("cpu").manual_seed(seed + number)
                        for number in range(size)
                    ],
                    width=request.width,
                    height=request.height,
                    num_inference_steps=request.steps,
                    guidance_scale=request.guidance,
                    max_sequence_length=request.max_sequence_length,
                    output_type="pil",
                )

            with torch.no_grad():
                if self.case.compiles:  # without ours around it, it compiles anew
                    draw_bare(0)
                self._synchronize()
                started = time.perf_counter()
                for seed in range(rounds):
                    draw_bare(seed)
                self._synchronize()
            self.tell(bare_s=(time.perf_counter() - started) / (rounds * size))
        except Exception as error:  # the bare pipeline's trouble is not ours
            self.tell(bare_error=describe(error))

    def _measure_keeping(self, count: int) -> None:
        """PNGs made on a thread, as Studio does; and between the pictures, to compare."""
        if self.case.steps or count < 2:
            return
        spent: list[float] = []

        def encode(image: Any) -> None:
            started = time.perf_counter()
            image.save(io.BytesIO(), "PNG", compress_level=1)
            spent.append(time.perf_counter() - started)

        requests = [self.request(20 + number) for number in range(count)]
        with ThreadPoolExecutor(1) as pool:
            on_thread = self.draw(requests, keep=lambda one: pool.submit(encode, one))
        between = self.draw(requests, keep=encode)
        if not spent:  # all were broken
            return
        self.tell(
            png_ms=sum(spent) / len(spent) * 1e3,
            kept_on_thread_s=on_thread / count,
            kept_between_s=between / count,
        )

    def _measure_callbacks(self) -> None:
        """What they cost a step, and how far they run ahead of the card."""
        self.plain_s = min(self.draw([self.request(30)]) for _ in range(2))
        seen: list[tuple[float, Any]] = []
        self._synchronize()
        first, started = self._event(), time.perf_counter()
        took = self.draw(
            [self.request(30)],
            lambda step: seen.append((time.perf_counter(), self._event())),
        )
        self.steps = max(1, len(seen))
        ahead = None
        if self.card and seen:
            ahead = max(
                first.elapsed_time(event) - (at - started) * 1e3 for at, event in seen
            )
        self.tell(
            callbacks_ms_a_step=(took - self.plain_s) / self.steps * 1e3,
            callback_ahead_ms=ahead,
        )

    def _measure_previews(self) -> None:
        threads: list[threading.Thread] = []

        def look(step: Any) -> None:
            if step.preview:
                place = (step.indices.start,)
                threads.append(threading.Thread(target=step.preview, args=place))
                threads[-1].start()

        self.draw([self.request(30)], look)  # the first one fits the matrix
        looked = self.draw([self.request(30)], look)
        for thread in threads:
            thread.join()
        if threads:
            more_s = looked - self.plain_s
            self.tell(previews_ms_a_step=more_s / self.steps * 1e3)

    def _measure_cancelling(self) -> None:
        """How soon it works, and what it leaves on the card."""
        cancel, at = threading.Event(), [0.0]

        def stop(step: Any) -> None:
            cancel.set()
            at.append(time.perf_counter())

        try:
            self.draw([self.request(31)], stop, cancel)
        except Cancelled:
            self._synchronize()
            self.tell(cancel_s=time.perf_counter() - at[-1])
        if self.card:
            torch.cuda.reset_peak_memory_stats()
        self.draw([self.request(32, "a prompt after a cancelled picture")])
        self._tell_peak("after_cancel")


def describe(error: BaseException) -> str:
    """An error in a line, without what is long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
