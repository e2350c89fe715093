"""Misspelt arguments: the error names what was probably meant, and nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import imagen_nb as im
from imagen_nb.errors import UsageError


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[im.Studio]:
    settings = {"backend": "flux-tiny-local", "output": {"dir": str(tmp_path)}, "steps": 1}
    with im.Studio(settings) as studio:
        yield studio
        assert not [*tmp_path.glob("*.png")]


MISSPELT: list[tuple[dict[str, Any], str]] = [
    ({"stesp": 4}, "unknown argument stesp (did you mean steps?): "),
    ({"tag": "boats"}, "unknown argument tag (did you mean tags?): "),
    ({"seeds": [1]}, "unknown argument seeds (did you mean seed?): "),
    ({"negativ_prompt": "sea"}, "(did you mean negative_prompt?)"),
    ({"max_sequence_lenght": 64}, "(did you mean max_sequence_length?)"),
    ({"lora": "boats.safetensors"}, "(did you mean loras?)"),
    ({"size": (64, 64)}, "unknown argument size (did you mean width=, height=?): "),
    ({"num_inference_steps": 4}, "(did you mean steps=?)"),
    ({"stesp": 4, "zzz": 1}, "unknown arguments stesp (did you mean steps?), zzz: "),
]


@pytest.mark.parametrize(("given", "says"), MISSPELT)
def test_generate_names_the_nearest_of_its_arguments_and_the_backends_options(
    studio: im.Studio, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as error:
        studio.generate("a boat", **given)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert type(error.value) is UsageError


def test_a_misspelt_prompt_is_recognised(studio: im.Studio) -> None:
    with pytest.raises(UsageError, match=r"unknown argument promt \(did you mean prompt\?\)"):
        studio.generate(promt="a boat")
    with pytest.raises(UsageError, match=r"^nothing to draw: give a prompt"):
        studio.generate(loras=[])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"seed": 3}, r"seed \(did you mean seeds\?\)"),
        ({"width": 64}, r"width \(did you mean size=\?\)"),
        ({"guidence": [1]}, r"guidence \(did you mean guidance\?\)"),
    ],
)
def test_sweep_names_the_nearest_of_its_own(
    studio: im.Studio, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        studio.sweep("a boat", **given)


def test_what_is_like_no_argument_gets_no_hint(studio: im.Studio) -> None:
    with pytest.raises(UsageError, match=r"^backend flux-tiny-local takes loras, memory") as error:
        studio.generate("a boat", zzz=3)
    assert "did you mean" not in str(error.value)


def test_the_nearest_backend_is_named(studio: im.Studio) -> None:
    with pytest.raises(UsageError, match=r"or auto, or remote; did you mean flux-tiny-local\?"):
        studio.generate("a boat", backend="flux-tiny-locl")
    with pytest.raises(UsageError, match=r"did you mean auto\?"):
        studio.generate("a boat", backend="Auto")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"memory": {"quantisaton": "int8"}}, "quantization"),
        ({"memory": {"quantization": "itn8"}}, "int8"),
        ({"scheduler": "eular"}, "euler"),
    ],
)
def test_the_nearest_of_fixed_words_is_named(
    studio: im.Studio, given: dict[str, Any], meant: str
) -> None:
    with pytest.raises(UsageError, match=rf"; did you mean {meant}\?"):
        studio.generate("a boat", **given)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"since": "yesteday"}, "yesterday"),
        ({"until": "Toady"}, "today"),
        ({"source": "clud"}, "cloud"),
    ],
)
def test_history_names_the_nearest_word(
    studio: im.Studio, given: dict[str, Any], meant: str
) -> None:
    with pytest.raises(UsageError, match=rf"; did you mean {meant}\?"):
        studio.history(**given)


@pytest.mark.parametrize("since", ["last tuesday", "tuesday", "soon", "7 fortnights"])
def test_a_word_that_only_ends_alike_is_not_taken_for_another(
    studio: im.Studio, since: str
) -> None:
    with pytest.raises(UsageError) as error:
        studio.history(since=since)
    assert "did you mean" not in str(error.value)
