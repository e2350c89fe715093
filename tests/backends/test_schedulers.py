"""Schedulers by name: each draws, the same twice, and the pipeline has its own again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import diffusers
import numpy as np
import pytest
from PIL import Image

from imagen_nb.backends import Step
from imagen_nb.backends.flux.backend import FluxBackend, custom
from imagen_nb.backends.flux.schedulers import SCHEDULER_CONFLICTS, SCHEDULERS, scheduler_class
from imagen_nb.errors import BackendError, Cancelled, UsageError
from imagen_nb.studio.studio import Studio
from tests.fixtures.backend_calls import draw, request_for

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
FROM_IMAGE = [name for name, row in SCHEDULERS.items() if row.from_image]
NOT_FROM_IMAGE = [name for name, row in SCHEDULERS.items() if not row.from_image]


@pytest.fixture(scope="module", autouse=True)
def plain_models(schnell_folder: Path, dev_folder: Path) -> Iterator[None]:
    """The models that these tests draw with stay in memory until the last one."""
    backends = [custom(str(folder)) for folder in (schnell_folder, dev_folder)]
    yield
    del backends


@pytest.fixture
def backend(folder: Path) -> FluxBackend:
    """Of schnell's layout, then of dev's."""
    return custom(str(folder))


def drawn(backend: FluxBackend, scheduler: str | None, steps: int = 4, **options: Any) -> Any:
    given = {"scheduler": scheduler, **options}
    return draw(backend, request_for(backend, steps=steps, width=32, height=32, options=given))[0]


def own_scheduler(backend: FluxBackend) -> Any:
    return backend._loaded.pipeline().scheduler


def refusal(options: dict[str, Any], backend: FluxBackend) -> str:
    with pytest.raises(UsageError) as error:
        drawn(backend, **options)
    return str(error.value)


class TestEach:
    @pytest.mark.parametrize("name", SCHEDULERS)
    def test_it_draws_the_same_picture_twice(self, backend: FluxBackend, name: str) -> None:
        first, again = drawn(backend, name), drawn(backend, name)
        assert first.image.tobytes() == again.image.tobytes()
        assert len(first.image.getcolors(32 * 32)) > 50

    @pytest.mark.parametrize("name", SCHEDULERS)
    @pytest.mark.parametrize("steps", [1, 2, 7])
    def test_it_draws_with_few_steps_and_more(
        self, backend: FluxBackend, name: str, steps: int
    ) -> None:
        assert drawn(backend, name, steps).image.size == (32, 32)

    @pytest.mark.parametrize("name", SCHEDULERS)
    def test_its_class_is_told(self, backend: FluxBackend, name: str) -> None:
        assert (
            drawn(backend, name).details["scheduler"]
            == SCHEDULERS[name].kind
            == scheduler_class(name)
        )

    @pytest.mark.parametrize("name", FROM_IMAGE)
    def test_it_can_begin_with_an_image(self, backend: FluxBackend, name: str) -> None:
        plain = drawn(backend, name)
        begun = drawn(backend, name, init_image=PICTURE, strength=0.5)
        assert begun.image.tobytes() != plain.image.tobytes()

    @pytest.mark.parametrize("name", NOT_FROM_IMAGE)
    def test_one_that_cannot_is_refused_and_others_are_named(
        self, backend: FluxBackend, name: str
    ) -> None:
        line = refusal({"scheduler": name, "init_image": PICTURE}, backend)
        assert line.startswith(f"the scheduler {name} does not go with init_image: use one of ")
        assert all(other in line for other in FROM_IMAGE)

    @pytest.mark.parametrize("name", SCHEDULERS)
    def test_its_class_is_one_of_diffusers(self, name: str) -> None:
        assert hasattr(diffusers, SCHEDULERS[name].kind)

    def test_those_that_are_not_for_images_are_two(self) -> None:
        assert NOT_FROM_IMAGE == ["unipc", "dpm++"]
        assert {name for name, not_with in SCHEDULER_CONFLICTS.items() if not_with} == {
            *NOT_FROM_IMAGE
        }


class TestAmongThem:
    def test_plain_euler_is_what_flux_draws_with_anyway(self, backend: FluxBackend) -> None:
        assert drawn(backend, "euler").image.tobytes() == drawn(backend, None).image.tobytes()

    @pytest.mark.parametrize("folder", ["dev"], indirect=True)
    def test_all_draw_pictures_of_their_own(self, backend: FluxBackend) -> None:
        assert len({drawn(backend, name).image.tobytes() for name in SCHEDULERS}) == len(SCHEDULERS)

    def test_an_unknown_one_is_answered_with_the_known_ones(self, backend: FluxBackend) -> None:
        assert refusal({"scheduler": "heun"}, backend).endswith(
            f"use one of {', '.join(SCHEDULERS)}"
        )

    def test_a_batch_is_drawn_as_each_alone(self, folder: Path) -> None:
        backend = custom(str(folder), memory={"batch": 2})
        options = {"scheduler": "unipc"}
        requests = [
            request_for(backend, seed=seed, steps=4, width=32, height=32, options=options)
            for seed in (1, 2)
        ]
        both = draw(backend, *requests)
        assert [one.details["batch_size"] for one in both] == [2, 2]
        for request, one in zip(requests, both, strict=True):
            alone = np.asarray(draw(backend, request)[0].image).astype(int)
            assert np.abs(alone - np.asarray(one.image)).max() <= 2


class TestAfterwards:
    @pytest.mark.parametrize("name", SCHEDULERS)
    def test_the_pipeline_has_its_own_again(self, backend: FluxBackend, name: str) -> None:
        before = drawn(backend, None).image.tobytes()
        own = own_scheduler(backend)
        drawn(backend, name)
        assert own_scheduler(backend) is own
        assert drawn(backend, None).image.tobytes() == before

    def test_also_when_the_drawing_is_cancelled(self, backend: FluxBackend) -> None:
        own, cancel = own_scheduler(backend), Event()

        def stop(step: Step) -> None:
            cancel.set()

        request = request_for(backend, steps=4, options={"scheduler": "dpm++"})
        with pytest.raises(Cancelled):
            list(backend.draw([request], stop, cancel))
        assert own_scheduler(backend) is own

    def test_also_when_the_drawing_fails(
        self, backend: FluxBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = own_scheduler(backend)

        def fail(*given: object, **named: object) -> None:
            raise RuntimeError("no such luck")

        monkeypatch.setattr(backend._loaded.pipeline().transformer, "forward", fail)
        with pytest.raises(BackendError, match="no such luck"):
            drawn(backend, "unipc")
        assert own_scheduler(backend) is own


class TestRecorded:
    @pytest.fixture
    def studio(self, tmp_path: Path) -> Iterator[Studio]:
        settings = {"backend": "flux-tiny-local", "output": {"dir": str(tmp_path / "pictures")}}
        with Studio(settings, background=False) as studio:
            yield studio

    @pytest.mark.parametrize("name", SCHEDULERS)
    def test_the_picture_is_drawn_again_to_the_bit(self, studio: Studio, name: str) -> None:
        first = studio.generate(
            "a red boat", seed=5, steps=3, width=64, height=64, scheduler=name, progress=False
        )
        assert first.record.scheduler_name == name
        assert first.record.scheduler == SCHEDULERS[name].kind
        again = studio.reproduce(first, progress=False)
        assert (again.identical, again.differs) == (True, ())

    def test_a_picture_of_the_models_own_names_none(self, studio: Studio) -> None:
        first = studio.generate("a boat", seed=5, steps=1, width=64, height=64, progress=False)
        assert first.record.scheduler_name is None
        assert first.record.scheduler == "FlowMatchEulerDiscreteScheduler"

    def test_a_sweep_has_one_picture_of_each(self, studio: Studio) -> None:
        drawn = studio.sweep(
            "a boat", seeds=[1], steps=3, size=(64, 64), scheduler=[*SCHEDULERS], progress=False
        )
        assert [one.record.scheduler_name for one in drawn] == [*SCHEDULERS]
