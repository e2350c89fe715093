"""The text of AUTOMATIC1111's webui reads back, whatever stands in its fields."""

from __future__ import annotations

import json
import time

from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.storage.other_programs.foreign_metadata import clean_text
from imagen_nb.storage.other_programs.infotext import parsed_infotext, read_infotext

LINES = st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cs", "Cc"]), max_size=40
)
PROMPTS = st.lists(
    LINES.filter(lambda line: not line.strip().startswith("Negative prompt:")), max_size=4
).map("\n".join)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda name: name == name.strip() and name[0] not in '"{['
)


def quoted(value: object) -> str:
    """As `quote` of modules/infotext_utils.py does."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(",:\n") else text


def stripped(prompt: str) -> str:
    """As the webui itself reads it: each line without the white space around it."""
    return "\n".join(line.strip() for line in prompt.split("\n")).strip()


@given(PROMPTS, PROMPTS, NAMES, NAMES, st.integers(0, 2**32), st.integers(1, 150), st.floats(0, 30))
def test_what_the_webui_writes_reads_back(
    prompt: str, negative: str, model: str, user: str, seed: int, steps: int, scale: float
) -> None:
    pairs = {
        "Steps": steps,
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": scale,
        "Seed": seed,
        "Model": model,
        "Hires prompt": "Seed: 1, Steps: 1\nNegative prompt: x",
        "User": user,
    }
    settings = ", ".join(f"{name}: {quoted(value)}" for name, value in pairs.items())
    text = "\n".join([prompt, f"Negative prompt: {negative}", settings]).strip()
    found = read_infotext({"parameters": text})
    assert found is not None
    assert found.prompt == stripped(prompt)
    assert found.negative_prompt == (stripped(negative) or None)
    assert (found.seed, found.steps, found.guidance) == (seed, steps, scale)
    assert (found.model, found.sampler) == (clean_text(model), "DPM++ 2M Karras")


def test_the_first_of_two_pairs_of_a_name_counts() -> None:
    found = read_infotext({"parameters": "x\nSteps: 4, Seed: 1, Size: 8x8, Seed: 2"})
    assert found is not None
    assert found.seed == 1


def test_a_text_of_another_form_is_not_taken_for_one() -> None:
    for text in ("", " \n", '{"a": 1}', '{"a": "torn'):
        assert read_infotext({"parameters": text}) is None
    assert read_infotext({"comment": "Size: large, Model: A-5"}) is None


def test_long_lines_take_time_in_proportion() -> None:
    """Patterns that look back make of such texts minutes; it must be a moment."""
    begin = time.process_time()
    for piece in ("a: [", 'a: "', "a: {", "<lora:a:1>", "<lora:", "a, ", ": ", '"\\', " " * 9):
        text = piece * (40_000 // len(piece))
        parsed_infotext(f"{text}\n{text}\nSteps: 4, Seed: 1, {text}")
        read_infotext({"parameters": f"{text}\nSteps: 4, Seed: 1, Lora weights: {text}"})
    assert time.process_time() - begin < 10
