"""LoRAs: which are named, into which pipeline they go, and what records say of them."""

from __future__ import annotations

import gc
import hashlib
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from imagen_nb.backends import Backend, made_with, make_backend
from imagen_nb.backends.flux import loras
from imagen_nb.errors import BackendError, UsageError
from tests.fixtures.backend_calls import draw, request_for
from tests.fixtures.lora_files import write_lora


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("loras") / "a.safetensors")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_lora(tmp_path / "other.safetensors", seed=1)


def tiny(given: Any = None) -> Backend:
    return make_backend("flux-tiny-local", loras=given)


def pixels(backend: Backend) -> np.ndarray[Any, Any]:
    return np.asarray(draw(backend, request_for(backend))[0].image, int)


class TestPixels:
    def test_a_lora_is_seen_and_more_of_it_is_seen_more(self, lora: Path) -> None:
        plain, half, whole = (pixels(tiny(given)) for given in (None, (lora, 0.5), lora))
        assert 1 < np.abs(half - plain).mean() < np.abs(whole - plain).mean()

    def test_without_weight_it_changes_nothing_to_see(self, lora: Path) -> None:
        assert np.abs(pixels(tiny((lora, 0.0))) - pixels(tiny())).max() <= 1

    def test_two_work_together_in_the_order_of_their_names(self, lora: Path, other: Path) -> None:
        both = pixels(tiny([lora, (other, 0.5)]))
        assert np.abs(both - pixels(tiny(lora))).mean() > 1
        assert np.abs(both - pixels(tiny((other, 0.5)))).mean() > 1

    def test_backends_of_one_model_share_it_and_leave_nothing_to_the_others(
        self, lora: Path, other: Path
    ) -> None:
        plain, one, two = tiny(), tiny(lora), tiny(other)
        assert one._loaded is plain._loaded is two._loaded  # type: ignore[attr-defined]
        before = [pixels(plain), pixels(one)]
        pixels(two)
        assert np.array_equal([pixels(plain), pixels(one)], before)

    def test_two_threads_draw_each_with_its_own(self, lora: Path) -> None:
        backends = [tiny(), tiny(lora)]
        requests = [request_for(backends[0], width=32 * n, seed=n) for n in (2, 3, 4, 5)]

        def drawn(backend: Backend) -> list[bytes]:
            return [one.image.tobytes() for one in draw(backend, *requests)]

        alone = [drawn(backend) for backend in backends]
        with ThreadPoolExecutor(2) as pool:
            assert [*pool.map(drawn, backends)] == alone

    def test_memory_is_freed_with_the_last_backend(self, lora: Path) -> None:
        nobody_elses = {"vae_slicing": True, "vae_tiling": False}  # a session may hold the usual
        backend = make_backend("flux-tiny-local", loras=lora, memory=nobody_elses)
        pixels(backend)
        model = weakref.ref(backend._loaded)  # type: ignore[attr-defined]
        del backend
        gc.collect()
        assert model() is None

    def test_a_file_that_changes_is_taken_anew_and_leaves_nothing(self, tmp_path: Path) -> None:
        file = write_lora(tmp_path / "x.safetensors")
        backend = tiny(file)
        first = pixels(backend)
        write_lora(file, seed=2)
        second = pixels(backend)
        assert np.abs(second - first).mean() > 1
        assert np.array_equal(second, pixels(tiny(file)))


class TestRecords:
    def test_they_name_file_hash_and_weight(self, lora: Path) -> None:
        backend = tiny((lora, 0.5))
        recorded = {
            "path": str(lora),
            "sha256": hashlib.sha256(lora.read_bytes()).hexdigest(),
            "weight": 0.5,
        }
        drawn = draw(backend, request_for(backend, steps=1))[0]
        assert drawn.details["loras"] == made_with(backend)["loras"] == [recorded]

    def test_a_file_that_changed_has_another_hash(self, tmp_path: Path) -> None:
        file = write_lora(tmp_path / "x.safetensors")
        backend = tiny(file)
        write_lora(file, seed=2)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        assert made_with(backend)["loras"][0]["sha256"] == sha256

    def test_below_the_home_they_name_no_user(self) -> None:
        file = write_lora(Path.home() / "mine.safetensors")
        assert made_with(tiny(file))["loras"][0]["path"] == "~/mine.safetensors"
        assert made_with(tiny("~/mine.safetensors")) == made_with(tiny(file))


class TestNames:
    FORMS: ClassVar[dict[str, tuple[Any, list[tuple[str, float]]]]] = {
        "nothing": (None, []),
        "an empty list": ([], []),
        "a name": ("a.safetensors", [("a.safetensors", 1.0)]),
        "a path": (Path("a.safetensors"), [("a.safetensors", 1.0)]),
        "a pair": (("a.safetensors", 2), [("a.safetensors", 2.0)]),
        "a pair of YAML": (["a.safetensors", 0.5], [("a.safetensors", 0.5)]),
        "two": (["a.safetensors", "b.safetensors"], [("a.safetensors", 1), ("b.safetensors", 1)]),
        "pairs": (
            [("a.safetensors", -1), ["b.safetensors", 0.5]],
            [("a.safetensors", -1), ("b.safetensors", 0.5)],
        ),
    }

    @pytest.mark.parametrize("form", FORMS)
    def test_every_way_to_name_them(
        self, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        given, expected = self.FORMS[form]
        assert [*loras.validated_loras(given)] == [
            (tmp_path / name, weight) for name, weight in expected
        ]

    WRONG: ClassVar[dict[str, Any]] = {
        "a number": 3,
        "a mapping": {"a.safetensors": 1},
        "another kind": "a.ckpt",
        "a number among them": [3],
        "no weight": [("a.safetensors", "much")],
        "a weight that is none": ("a.safetensors", float("nan")),
        "the same twice": ["a.safetensors", "./a.safetensors"],
    }

    @pytest.mark.parametrize("case", WRONG)
    def test_what_is_none_is_refused_in_one_line(self, case: str) -> None:
        with pytest.raises(UsageError) as error:
            loras.validated_loras(self.WRONG[case])
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a.safetensors", ("a.safetensors", 1.0)),
            ("a.safetensors:0.5", ("a.safetensors", 0.5)),
            ("a.safetensors:-1", ("a.safetensors", -1.0)),
            ("C:\\a.safetensors", ("C:\\a.safetensors", 1.0)),
            ("x:y/a.safetensors", ("x:y/a.safetensors", 1.0)),
        ],
    )
    def test_the_commands_notation(self, text: str, expected: tuple[str, float]) -> None:
        assert loras.parse_lora(text) == expected


class TestTrouble:
    def test_one_that_is_not_there_is_said_before_anything_is_loaded(self, tmp_path: Path) -> None:
        with pytest.raises(BackendError, match=r"cannot read the LoRA .*no\.safetensors"):
            tiny(tmp_path / "no.safetensors")

    @pytest.mark.parametrize("kind", ["no safetensors", "other layers", "another size"])
    def test_one_that_does_not_fit_is_one_line_and_the_backend_stays_usable(
        self, kind: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "bad.safetensors"
        name, size = "transformer.transformer_blocks.0.attn.to_q", 8
        if kind == "no safetensors":
            file.write_bytes(b"{}")
        elif kind == "other layers":
            save_file({"unet.down.lora_A.weight": torch.zeros(2, size)}, file)
        else:
            ups = {"lora_A": torch.zeros(2, size), "lora_B": torch.zeros(size, 2)}
            save_file({f"{name}.{up}.weight": value for up, value in ups.items()}, file)
        backend = tiny(file)
        with pytest.raises(BackendError, match="does not fit this model") as error:
            pixels(backend)
        assert "\n" not in str(error.value)
        write_lora(file)
        assert np.array_equal(pixels(backend), pixels(tiny(file)))

    def test_without_peft_the_line_says_how_to_get_it(
        self, lora: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loras, "find_spec", lambda name: None)
        with pytest.raises(BackendError, match=r'pip install "imagen_nb\[lora\]"'):
            tiny(lora)
        assert pixels(tiny()).any()
