"""autolog leaves pipelines as they are: results, errors, classes, and programs that end."""

from __future__ import annotations

import inspect
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FluxPipeline, StableDiffusionPipeline

import imagen_nb as im
from imagen_nb.errors import ConfigError, UsageError
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio
from tests.fixtures.own_pipelines import FAST, Own, gradient, seeded

ROOT = Path(__file__).parents[3]
Records = Callable[[], list[im.Record]]
PICTURE = SimpleNamespace(images=[gradient()])


def bytes_of(images: Any) -> list[bytes]:
    return [
        one.numpy().tobytes() if isinstance(one, torch.Tensor) else np.asarray(one).tobytes()
        for one in images
    ]


class TestResults:
    @pytest.mark.parametrize("form", ["pil", "np", "pt", "latent"])
    @pytest.mark.parametrize("as_dict", [True, False])
    def test_they_are_byte_for_byte_what_they_are_without(
        self, form: str, as_dict: bool, studio: Studio, flux: FluxPipeline
    ) -> None:
        def draw() -> Any:
            more = FAST | {"output_type": form, "return_dict": as_dict}
            return flux(["a red boat", "a blue house"], generator=seeded(1, 2), **more)

        plain = draw()
        im.autolog()
        observed = draw()
        im.autolog(disable=True)
        assert type(observed) is type(plain)
        images = [result.images if as_dict else result[0] for result in (observed, plain)]
        assert type(images[0]) is type(images[1])
        assert bytes_of(images[0]) == bytes_of(images[1])

    def test_nothing_is_drawn_from_anybodys_noise(self, logging: Studio) -> None:
        generator = seeded(3)
        torch.manual_seed(0)
        before, others = generator.get_state(), torch.get_rng_state()
        Own()(PICTURE, generator=generator)
        assert torch.equal(generator.get_state(), before)
        assert torch.equal(torch.get_rng_state(), others)

    def test_gradients_flow_for_whoever_goes_around_no_grad(
        self, logging: Studio, sd: StableDiffusionPipeline
    ) -> None:
        images = (
            type(sd)
            .__call__.__wrapped__(sd, "a boat", num_inference_steps=1, output_type="pt")
            .images
        )
        assert images.requires_grad


class TestErrors:
    @pytest.mark.parametrize(
        "error", [ValueError("no such size"), KeyboardInterrupt(), SystemExit(3)]
    )
    def test_of_the_pipeline_pass_and_leave_nothing(
        self, error: BaseException, logging: Studio, records: Records, capsys: Any
    ) -> None:
        class Failing(Own):
            def __call__(self, prompt: str) -> Any:  # type: ignore[override]
                raise error

        capsys.readouterr()
        with pytest.raises(type(error)) as caught:
            Failing()("a boat")
        assert caught.value is error
        assert records() == []
        Own()(PICTURE)
        assert len(records()) == 1, "and the next one is recorded"
        assert capsys.readouterr().err == ""

    def test_arguments_that_do_not_fit_are_the_pipelines_to_refuse(
        self, logging: Studio, sd: StableDiffusionPipeline, flux: FluxPipeline, capsys: Any
    ) -> None:
        capsys.readouterr()
        with pytest.raises(TypeError, match="sizes"):
            flux("a boat", sizes=3)
        with pytest.raises(ValueError, match="`prompt` has to be"):
            sd(7)
        assert capsys.readouterr().err == ""

    def test_a_folder_that_cannot_be_written_is_one_line(
        self, logging: Studio, capsys: Any
    ) -> None:
        logging.settings.output.dir.write_text("no folder")
        capsys.readouterr()
        for _ in range(3):
            assert Own()(PICTURE) is PICTURE
        said = capsys.readouterr().err
        assert said.startswith(
            "imagen: autolog: a picture is not recorded: cannot keep pictures in "
        )
        assert said.count("\n") == 1

    def test_a_catalog_that_is_damaged_is_one_line_and_the_files_are_there(
        self, logging: Studio, capsys: Any
    ) -> None:
        catalog = logging.settings.output.dir / ".imagen" / "catalog.sqlite3"
        catalog.parent.mkdir(parents=True)
        catalog.write_bytes(b"no database at all" * 100)
        capsys.readouterr()
        for index in range(3):
            image = gradient()
            image.putpixel((0, 0), (index, 0, 0))
            Own()(SimpleNamespace(images=[image]))
        logging.close()
        said = capsys.readouterr().err
        assert "damaged" in said
        assert said.count("\n") == 1
        assert len([*catalog.parent.parent.glob("*.png")]) == 3

    def test_a_catalog_that_is_locked_for_a_while_keeps_nobody_waiting(
        self, logging: Studio, records: Records
    ) -> None:
        Own()(PICTURE)
        assert len(records()) == 1
        with closing(sqlite3.connect(logging.catalog().path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert Own()(SimpleNamespace(images=[gradient("L")])) is not None
            other.execute("ROLLBACK")
        assert len(records()) == 2

    @pytest.mark.parametrize(
        "arguments",
        [
            {"prompt": 7},
            {"prompt": ["a", 3]},
            {"prompt": {"a": "b"}},
            {"generator": "no generator"},
            {"guidance_scale": float("nan")},
            {"guidance_scale": "high"},
            {"num_inference_steps": -1.5},
            {"num_inference_steps": None},
            {"max_sequence_length": "long"},
            {"sigmas": [0.5, 0.1]},
            {"nested": {"a": [{"b": object()}] * 1000}},
            {"half": "\ud800"},
            {"negative_prompt": [1, 2]},
            {"deep": float("inf")},
        ],
    )
    def test_any_arguments_at_all(
        self, arguments: dict[str, Any], logging: Studio, records: Records, capsys: Any
    ) -> None:
        capsys.readouterr()
        assert Own()(PICTURE, **arguments) is PICTURE
        assert len(records()) == 1
        assert capsys.readouterr().err == ""

    def test_a_prompt_that_cannot_be_written_is_one_line(
        self, logging: Studio, capsys: Any
    ) -> None:
        capsys.readouterr()
        assert Own()(PICTURE, prompt="half a character: \ud800") is PICTURE
        logging.close()  # all is written, or told
        said = capsys.readouterr().err
        assert said.startswith("imagen: autolog: a picture is not recorded: ")
        assert said.count("\n") == 1

    def test_a_result_that_resists_is_one_line(self, logging: Studio, capsys: Any) -> None:
        class Resisting:
            @property
            def images(self) -> Any:
                raise RuntimeError("not\nyet")

        result = Resisting()
        capsys.readouterr()
        assert Own()(result) is result
        assert capsys.readouterr().err == (
            "imagen: autolog: a picture is not recorded: RuntimeError: not yet\n"
        )

    def test_a_stderr_that_is_gone(self, logging: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
        logging.settings.output.dir.write_text("no folder")
        read, write = os.pipe()
        os.close(read)
        with open(write, "w") as broken:
            monkeypatch.setattr(sys, "stderr", broken)
            assert Own()(PICTURE) is PICTURE
            monkeypatch.undo()
            with pytest.raises(BrokenPipeError):
                broken.flush()
            os.dup2(os.open(os.devnull, os.O_WRONLY), write)


class TestClasses:
    def test_they_are_restored_exactly(self, studio: Studio, flux: FluxPipeline) -> None:
        def state() -> dict[str, Any]:
            kinds = [DiffusionPipeline, FluxPipeline, StableDiffusionPipeline, Own]
            return {kind.__name__: dict(vars(kind)) for kind in kinds}

        before, finders = state(), [*sys.meta_path]
        original = type(flux).__call__
        im.autolog()
        im.autolog(tags=["again"])
        assert type(flux).__call__ is not original
        im.autolog(disable=True)
        assert type(flux).__call__ is original
        assert state() == before
        assert sys.meta_path == finders
        im.autolog(disable=True)
        assert state() == before

    @pytest.mark.parametrize("kind", [FluxPipeline, StableDiffusionPipeline, Own])
    def test_they_look_the_same_while_it_is_on(self, kind: Any, studio: Studio) -> None:
        def face() -> tuple[Any, ...]:
            call = kind.__call__
            return (
                inspect.signature(call),
                call.__doc__,
                call.__name__,
                call.__qualname__,
                call.__module__,
                inspect.unwrap(call),
                inspect.getsource(call),
                inspect.get_annotations(call),
                call.__defaults__ or (),
            )

        before = face()
        im.autolog()
        after = face()
        im.autolog(disable=True)
        assert after[:-1] == before[:-1]

    def test_subclasses_inherit_rather_than_get_one_of_their_own(self, logging: Studio) -> None:
        class Plain(Own):
            pass

        assert "__call__" not in vars(Plain)

    def test_those_that_come_later_are_recorded_and_restored_too(
        self, logging: Studio, records: Records
    ) -> None:
        class Later(Own):
            def __init_subclass__(cls, /, colour: str, **more: Any) -> None:
                super().__init_subclass__(**more)
                cls.colour = colour  # type: ignore[attr-defined]

        class Last(Later, colour="red"):
            def __call__(self, prompt: str) -> Any:  # type: ignore[override]
                return PICTURE

        pipeline = Last()
        pipeline("a boat")
        assert [record.prompt for record in records()] == ["a boat"]
        assert Last.colour == "red"  # type: ignore[attr-defined]
        im.autolog(disable=True)
        assert vars(Last)["__call__"].__code__.co_name == "__call__"
        pipeline("a house")
        assert len(records()) == 1

    def test_what_others_put_around_stays_and_is_let_through(
        self, studio: Studio, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        im.autolog()
        ours = Own.__call__
        theirs = lambda self, *args, **more: ours(self, *args, **more)  # noqa: E731
        monkeypatch.setattr(Own, "__call__", theirs)
        im.autolog(disable=True)
        assert Own.__call__ is theirs
        assert Own()(PICTURE) is PICTURE
        assert records() == []

    def test_instances_travel_as_before(self, logging: Studio) -> None:
        assert type(pickle.loads(pickle.dumps(Own()))) is Own


class TestSwitch:
    def test_it_says_where_pictures_go(self, studio: Studio, capsys: Any) -> None:
        im.autolog()
        im.autolog(disable=True)
        folder = studio.settings.output.dir
        line = f"imagen: autolog: what diffusers pipelines draw is kept in {folder}\n"
        assert capsys.readouterr() == ("", line)

    def test_what_cannot_be_used_is_refused_at_once(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        call = FluxPipeline.__call__
        monkeypatch.setenv("IMAGEN_STEPS", "many")
        with using(None), pytest.raises(ConfigError):
            im.autolog()
        monkeypatch.delenv("IMAGEN_STEPS")
        with using(None), pytest.raises(UsageError, match="tag"):
            im.autolog(tags=["a\nb"])
        assert FluxPipeline.__call__ is call

    def test_several_threads_may_switch(self, studio: Studio) -> None:
        original = FluxPipeline.__call__

        def switch() -> None:
            for _ in range(20):
                im.autolog()
                im.autolog(disable=True)

        threads = [threading.Thread(target=switch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        im.autolog(disable=True)
        assert FluxPipeline.__call__ is original


def run(code: str, tmp_path: Path, python: Path | None = None) -> str:
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "IMAGEN_OUTPUT_DIR": str(tmp_path / "out"),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [str(python or sys.executable), "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestPrograms:
    IMPORT = "import imagen_nb as im"
    OWN = "from tests.fixtures.own_pipelines import Own"

    def test_switching_it_on_loads_nothing_heavy(self, tmp_path: Path) -> None:
        code = (
            "import sys, imagen_nb as im\n"
            "im.autolog(); im.autolog(disable=True); im.autolog()\n"
            "print([m for m in ('torch', 'diffusers', 'pandas', 'numpy') if m in sys.modules])"
        )
        assert run(code, tmp_path) == "[]"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "order",
        [
            [OWN, "pipeline = Own()", IMPORT, "im.autolog()"],
            pytest.param([IMPORT, "im.autolog()", OWN], marks=pytest.mark.soak),
            pytest.param(["import diffusers", IMPORT, "im.autolog()", OWN], marks=pytest.mark.soak),
            pytest.param(
                [IMPORT, "im.autolog()", "im.autolog(disable=True)", OWN, "im.autolog()"],
                marks=pytest.mark.soak,
            ),
        ],
    )
    def test_pictures_are_there_when_it_has_ended_in_whatever_order_it_imports(
        self, order: list[str], tmp_path: Path, quick_python: Path
    ) -> None:
        """Where diffusers comes first, a fork will do, which has it."""
        code = (
            "\n".join(order) + "\nfrom types import SimpleNamespace\nfrom PIL import Image\n"
            "images = [Image.effect_noise((1500, 1500), 90).convert('RGB') for _ in range(3)]\n"
            "Own()(SimpleNamespace(images=images))\n"
            "import sys; sys.exit()"
        )
        run(code, tmp_path, quick_python if order[0] == self.OWN else None)
        files = sorted(path.name for path in (tmp_path / "out").glob("*"))
        assert len([name for name in files if name.endswith(".png")]) == 3
        assert len([name for name in files if name.endswith(".png.json")]) == 3

    @pytest.mark.slow
    def test_off_before_diffusers_comes_it_stays_off(self, tmp_path: Path) -> None:
        code = (
            "import imagen_nb as im; im.autolog(); im.autolog(disable=True)\n"
            "from tests.fixtures.own_pipelines import Own, gradient\n"
            "from types import SimpleNamespace\n"
            "Own()(SimpleNamespace(images=[gradient()]))\n"
            "print(Own.__call__.__code__.co_name)"
        )
        assert run(code, tmp_path) == "__call__"
        assert not (tmp_path / "out").exists()
