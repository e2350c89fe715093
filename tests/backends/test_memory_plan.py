"""Memory plans as data: which row for which machine, what it takes, and what a user may set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.backends.flux.backend import custom
from imagen_nb.backends.flux.memory.choice import RAM_SHARE
from imagen_nb.backends.flux.memory.estimate import Demand
from imagen_nb.backends.flux.memory.keys import MEMORY_KEYS, validated_memory
from imagen_nb.backends.flux.memory.machine import gb_as_sold, plan_for, sizes_of
from imagen_nb.backends.flux.memory.plan import (
    FAST_PLANS,
    FAST_THRESHOLD,
    MEMORY_PLANS,
    Machine,
    MemoryPlan,
)
from imagen_nb.backends.flux.memory.storages import PACKAGES, STORAGES
from imagen_nb.backends.flux.memory.words import (
    OFFLOAD_TEXTS,
    STORAGE_TEXTS,
    TEXT_ENCODER_TEXTS,
    explain_plan,
)
from imagen_nb.backends.flux.models import FLUX_12B, FLUX_DEV, FLUX_KLEIN, FLUX_SCHNELL
from imagen_nb.backends.session import Backends
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.cli import run
from imagen_nb.config.settings import MemorySettings, Settings, load_settings, validate_file
from imagen_nb.errors import BackendError, ConfigError, UsageError

ALL = frozenset(PACKAGES)
CARDS = (0, 6, 8, 12, 16, 24, 40, 80)
BEST = {  # GB of a card as sold: the plan with 64 GB of RAM, and with 32, all packages there
    0: ("whole", "int8"),
    6: ("group", "group-layerwise-slow"),
    8: ("nf4-offloaded", "nf4-offloaded"),
    12: ("nf4-offloaded", "nf4-offloaded"),
    16: ("fp8-offloaded", "fp8-offloaded"),
    24: ("offloaded", "fp8"),
    40: ("whole", "whole"),
    80: ("whole", "whole"),
}
BARE = {  # the same without any package
    0: ("whole", "freed"),
    6: ("group", "group-layerwise-slow"),
    8: ("group", "group-layerwise-slow"),
    12: ("group", "group-layerwise-slow"),
    16: ("group", "group-layerwise-slow"),
    24: ("offloaded", "layerwise-offloaded"),
    40: ("whole", "whole"),
    80: ("whole", "whole"),
}


@pytest.fixture(autouse=True)
def _no_weights(hub_cache: Path) -> None:
    """The large models are not here: their sizes are the known ones."""


def machine(
    card: float, ram: float = 64, capability: float = 8.9, packages: frozenset[str] = ALL
) -> Machine:
    gpu_gb, ram_gb = gb_as_sold(card, ram)
    return Machine(gpu_gb, ram_gb, capability if card else 0.0, packages)


@pytest.mark.parametrize("row", [FLUX_SCHNELL, FLUX_DEV], ids=["schnell", "dev"])
@pytest.mark.parametrize("card", CARDS)
class TestTable:
    @pytest.mark.parametrize(("ram", "place"), [(64, 0), (32, 1)])
    @pytest.mark.parametrize(("packages", "table"), [(ALL, BEST), (frozenset(), BARE)])
    def test_each_machine_has_its_plan(
        self, row: Any, card: int, ram: int, place: int, packages: frozenset[str], table: Any
    ) -> None:
        choice = plan_for(row, {}, machine(card, ram, packages=packages))
        assert (choice.plan.name, choice.fits) == (table[card][place], True)

    @pytest.mark.parametrize("ram", [16, 32, 64])
    def test_a_plan_that_fits_takes_no_more_than_there_is(
        self, row: Any, card: int, ram: int
    ) -> None:
        memory = machine(card, ram)
        choice = plan_for(row, {}, memory)
        fits = (
            choice.plan.gpu_gb <= memory.gpu_gb and choice.plan.ram_gb <= memory.ram_gb * RAM_SHARE
        )
        assert choice.fits == fits
        assert all(plan.gpu_gb <= memory.gpu_gb for plan in choice.smaller)

    def test_each_smaller_plan_takes_less_than_the_one_before(self, row: Any, card: int) -> None:
        choice = plan_for(row, {}, machine(card))
        takes = [(plan.gpu_gb, plan.ram_gb) for plan in (choice.plan, *choice.smaller)]
        assert takes == sorted(set(takes), reverse=True)

    def test_what_was_better_says_why_it_is_not_used(self, row: Any, card: int) -> None:
        choice = plan_for(row, {}, machine(card))
        assert all(why for _, why in choice.skipped)
        before = [*MEMORY_PLANS][: [*MEMORY_PLANS].index(choice.plan.name)]
        assert [name for name, _ in choice.skipped] == before

    def test_a_card_before_ampere_calculates_in_float16_and_has_no_fp8(
        self, row: Any, card: int
    ) -> None:
        choice = plan_for(row, {}, machine(card, capability=7.5))
        assert choice.plan.dtype == ("float16" if card else "bfloat16")
        assert choice.plan.quantization != "fp8"


class TestSizes:
    """Figures that others measured on a card; the plan must not promise less."""

    @pytest.mark.parametrize(
        ("plan", "peak_gib"), [("whole", 36.166), ("fp8", 21.488), ("int8", 21.482)]
    )
    def test_nothing_is_promised_that_took_more(self, plan: str, peak_gib: float) -> None:
        """huggingface.co/datasets/derekl35/diffusers-quantization-benchmarks, FLUX.1-dev."""
        choice = plan_for(FLUX_DEV, MEMORY_PLANS[plan], machine(80))
        assert peak_gib * 2**30 / 1e9 <= choice.plan.gpu_gb <= peak_gib * 2**30 / 1e9 * 1.05

    def test_a_folder_is_as_large_as_its_numbers_in_16_bits(self, schnell_folder: Path) -> None:
        """The weights lie there in float32."""
        row = custom(str(schnell_folder)).row
        file = schnell_folder / "transformer" / "diffusion_pytorch_model.safetensors"
        assert sizes_of(row).transformer == pytest.approx(file.stat().st_size / 2 / 1e9, rel=0.2)

    def test_a_model_that_is_not_here_has_the_known_sizes(self) -> None:
        assert sizes_of(FLUX_DEV) == FLUX_12B

    def test_a_torn_file_is_as_large_as_it_is(self, copied: Path) -> None:
        row = custom(str(copied)).row
        (copied / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 1000)
        assert sizes_of(row).vae == pytest.approx(1e-6)

    def test_more_pictures_at_once_take_more(self) -> None:
        one, four = (plan_for(FLUX_DEV, {"batch": n}, machine(80)).plan for n in (1, 4))
        assert four.gpu_gb > one.gpu_gb + 10

    def test_a_gguf_file_takes_what_it_weighs(self, tmp_path: Path) -> None:
        file = tmp_path / "q8.gguf"
        with file.open("wb") as opened:
            opened.truncate(12_700_000_000)  # a hole: no room on the disk is taken
        choice = plan_for(FLUX_DEV, validated_memory({"gguf": str(file)}), machine(16))
        assert (choice.plan.name, choice.plan.quantization) == ("offloaded", "gguf")
        assert 12.7 < choice.plan.gpu_gb < 15


class TestLacking:
    def test_a_missing_package_is_named_with_its_pip_line(self) -> None:
        reasons = dict(plan_for(FLUX_DEV, {}, machine(8, packages=frozenset())).skipped)
        assert "pip install bitsandbytes" in reasons["nf4-offloaded"]
        assert 'pip install "imagen_nb[quant]"' in reasons["fp8"]

    def test_a_package_that_is_there_is_used(self) -> None:
        choice = plan_for(FLUX_DEV, {}, machine(16, packages=frozenset({"torchao"})))
        assert choice.plan.name == "fp8-offloaded"

    def test_an_old_card_is_told_which_capability_is_needed(self) -> None:
        choice = plan_for(FLUX_DEV, {}, machine(16, capability=8.6))
        assert choice.plan.name == "int8-offloaded"
        assert "compute capability 8.9, and the card has 8.6" in dict(choice.skipped)["fp8"]

    def test_too_little_ram_is_the_nearest_plan_and_no_promise(self) -> None:
        choice = plan_for(FLUX_DEV, {}, machine(6, ram=8))
        assert not choice.fits
        assert "will probably fail" in "\n".join(explain_plan("dev", choice))

    @pytest.mark.parametrize(
        ("memory", "reason"),
        [
            ({"offload": "model"}, "offload model needs a CUDA graphics card"),
            ({"quantization": "nf4"}, "nf4 needs a CUDA graphics card"),
        ],
    )
    def test_without_a_card_what_needs_one_is_refused(
        self, memory: dict[str, str], reason: str
    ) -> None:
        with pytest.raises(BackendError, match=reason):
            plan_for(FLUX_TINY, memory, machine(0))

    def test_without_the_package_that_is_wanted_there_is_no_plan(self) -> None:
        with pytest.raises(BackendError, match="int8 needs torchao: pip install"):
            plan_for(FLUX_TINY, {"quantization": "int8"}, machine(0, packages=frozenset()))

    @pytest.mark.parametrize("ram", [1, 2, 4, 16])
    def test_the_embedded_model_is_whole_wherever_python_runs(self, ram: float) -> None:
        choice = plan_for(FLUX_TINY, {}, machine(0, ram))
        assert (choice.plan.recorded(), choice.plan.batch, choice.fits) == (
            {},
            FLUX_TINY.batch,
            True,
        )


class TestOverrides:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("dtype", "float16"),
            ("quantization", "layerwise"),
            ("offload", "group"),
            ("text_encoders", "freed"),
            ("vae_tiling", True),
            ("vae_slicing", True),
            ("attention", "cudnn"),
            ("fused_qkv", True),
            ("compile", True),
            ("first_block_cache", 0.08),
            ("taylorseer", 3),
            ("device", "cuda:0"),
            ("batch", 3),
        ],
    )
    def test_every_key_wins_over_the_table(self, key: str, value: Any) -> None:
        choice = plan_for(FLUX_DEV, validated_memory({key: value}), machine(24))
        assert getattr(choice.plan, key) == value
        assert all(getattr(plan, key) == value for plan in choice.smaller)

    def test_the_keys_are_those_of_the_plan_and_of_the_configuration(self) -> None:
        assert set(MEMORY_KEYS) == set(MemorySettings.model_fields)
        decisions = {"plan", "cache"}  # which rows, and which of two numbers
        assert all(hasattr(MemoryPlan(), key) for key in MEMORY_KEYS.keys() - decisions)

    def test_every_row_of_the_table_could_be_set_by_a_user(self) -> None:
        rows = [*MEMORY_PLANS.values(), *FAST_PLANS.values()]
        assert all(validated_memory(row) == row for row in rows)

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (
                {"quantisation": "int8"},
                "memory has no 'quantisation': it takes plan, device, dtype, quantization",
            ),
            ({"quantization": "int3"}, "fp8, fp8-dynamic, int8, layerwise, nf4, gguf, not 'int3'"),
            ({"offload": True}, "memory.offload is none, model, group, sequential, not True"),
            ({"offload": []}, "not []"),
            ({"batch": 0}, "whole number, 1 to 64"),
            ({"batch": True}, "whole number"),
            ({"first_block_cache": -1}, "a number, 0 or more"),
            ({"first_block_cache": float("nan")}, "a number"),
            ({"vae_tiling": "yes"}, "true or false"),
            ({"plan": "whole"}, "auto, fast, not 'whole'"),
            ({"device": "cuda:x"}, "cpu, mps, cuda or cuda:1, not 'cuda:x'"),
            ({"attention": "flash_hub"}, "auto, native, cudnn, not 'flash_hub'"),
            ({"taylorseer": -1}, "whole number, 0 to 16"),
            ({"first_block_cache": 0.1, "taylorseer": 3}, "one of the two"),
            ({"quantization": "gguf"}, "needs memory.gguf"),
            ({"quantization": "int8", "gguf": "x.gguf"}, "one of the two"),
            ("int8", "memory is a mapping"),
        ],
    )
    def test_what_is_not_known_is_refused_and_the_known_named(self, given: Any, says: str) -> None:
        with pytest.raises(UsageError) as error:
            validated_memory(given)
        assert says in str(error.value)

    def test_what_is_none_is_not_given(self) -> None:
        assert validated_memory({"offload": None}) == validated_memory(None) == {}

    def test_the_configuration_refuses_what_is_not_known(self, tmp_path: Path) -> None:
        file = tmp_path / "imagen.yaml"
        file.write_text("memory:\n  offload: disk\n  tiling: true\n")
        problems = [str(problem) for problem in validate_file(file)]
        assert f"{file}:2: memory.offload: expected none, model, group, sequential" in problems
        assert "did you mean memory.vae_tiling?" in "".join(problems)
        with pytest.raises(ConfigError):
            load_settings(None, file, {})

    def test_local_models_are_made_with_what_is_configured_and_a_call_wins_key_by_key(self) -> None:
        settings = Settings.model_validate(
            {"memory": {"text_encoders": "freed", "vae_tiling": True}}
        )
        backends = Backends("flux-tiny-local", {}, settings.options_of)
        backend = backends.get(None, {"memory": {"vae_tiling": False}})
        made = backend.made_with["options"]["memory"]  # type: ignore[attr-defined]
        assert made == {"text_encoders": "freed", "vae_tiling": False}

    def test_nothing_configured_is_nothing_recorded(self) -> None:
        backend = Backends("flux-tiny-local", {}, Settings().options_of).get()
        assert backend.made_with["options"] == {}  # type: ignore[attr-defined]


class TestWords:
    def test_every_value_has_words(self) -> None:
        assert set(STORAGE_TEXTS) == set(STORAGES)
        assert set(OFFLOAD_TEXTS) == {"none", "model", "group", "sequential"}
        assert set(TEXT_ENCODER_TEXTS) == {"kept", "second-card", "offloaded", "freed"}

    def test_speed_that_is_asked_for_is_said(self) -> None:
        given = {"compile": True, "first_block_cache": 0.08}
        text = "\n".join(explain_plan("dev", plan_for(FLUX_DEV, given, machine(24))))
        assert "compiled" in text
        assert "less than 0.08" in text
        assert "not the same bits" in text

    def test_a_plan_that_draws_the_bits_of_whole_does_not_say_otherwise(self) -> None:
        text = "\n".join(explain_plan("dev", plan_for(FLUX_DEV, {}, machine(24))))
        assert "Plan offloaded" in text
        assert "not the same bits" not in text

    def test_the_command_explains_a_plan(self, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["models", "--plan", "--gpu", "24GB", "--ram", "64GB", "--model", "dev"]
        assert run(command) == 0
        text = capsys.readouterr().out
        assert "Plan offloaded, expected to take 24.9 GB on the card and 35.2 GB of RAM" in text
        assert "whole: takes 39.5 of 25.3 GB on the card" in text

    def test_the_command_gives_data(self, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["models", "--plan", "--gpu", "8", "--capability", "7.5", "--json"]
        assert run([*command, "--ram", "64"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["plan"]["dtype"] == "float16"
        assert data["fits"] is True
        assert {each["plan"] for each in data["skipped"]} >= {"whole", "fp8"}

    def test_without_a_card_that_is_named_it_is_this_machine(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["models", "--plan", "--model", "tiny", "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert (data["model"], data["plan"]["name"]) == ("flux-tiny-local", "whole")

    def test_the_configured_memory_is_in_the_explanation(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("IMAGEN_MEMORY_TEXT_ENCODERS", "freed")
        assert run(["models", "--plan", "--gpu", "80", "--ram", "64"]) == 0
        assert "then freed" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (["--plan", "--gpu", "big"], 2, "--gpu is a memory's size like 12GB"),
            (["--plan", "--ram", "0"], 2, "--ram is a memory's size"),
            (["--gpu", "12GB"], 2, "add it"),
            (["--plan", "--model", "nothing"], 1, "there is no folder nothing"),
        ],
    )
    def test_a_mistake_is_one_line(
        self, arguments: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["models", *arguments]) == code
        assert says in capsys.readouterr().err


class TestFast:
    """`plan: fast`: what is near the picture of `whole`, sooner."""

    @pytest.mark.parametrize(
        ("card", "capability", "plan", "attention"),
        [
            (80, 9.0, "fast", "cudnn"),
            (24, 8.9, "fast", "native"),
            (16, 8.9, "fast-offloaded", "native"),
            (80, 8.0, "fast-16-bit", "native"),
            (12, 8.6, "nf4-offloaded", "native"),
        ],
    )
    def test_each_card_has_the_best_that_it_can(
        self, card: int, capability: float, plan: str, attention: str
    ) -> None:
        memory = validated_memory({"plan": "fast"})
        choice = plan_for(FLUX_DEV, memory, machine(card, capability=capability))
        assert (choice.plan.name, choice.plan.attention) == (plan, attention)
        assert not choice.plan.exact

    def test_no_card_has_it_unasked(self) -> None:
        for card in CARDS:
            choice = plan_for(FLUX_DEV, {}, machine(card, capability=9.0))
            assert choice.plan.name in MEMORY_PLANS
            assert not choice.plan.compile
            assert choice.plan.attention == "native"

    def test_steps_are_cut_short_where_there_are_many(self) -> None:
        fast = validated_memory({"plan": "fast"})
        dev, schnell = (plan_for(row, fast, machine(80)).plan for row in (FLUX_DEV, FLUX_SCHNELL))
        assert (dev.first_block_cache, schnell.first_block_cache) == (FAST_THRESHOLD, 0)
        assert plan_for(FLUX_KLEIN, fast, machine(80)).plan.first_block_cache == 0

    def test_each_part_can_be_set_otherwise(self) -> None:
        memory = validated_memory({"plan": "fast", "cache": "none", "compile": False})
        plan = plan_for(FLUX_DEV, memory, machine(80)).plan
        assert (plan.name, plan.first_block_cache, plan.compile) == ("fast", 0, False)

    def test_with_loras_it_is_the_one_that_takes_them(self) -> None:
        demand = Demand(1.05, lora_gb=0.3)
        plan = plan_for(FLUX_DEV, {"plan": "fast"}, machine(80), demand).plan
        assert plan.name == "fast-16-bit"

    def test_it_is_recorded(self) -> None:
        plan = plan_for(FLUX_DEV, {"plan": "fast"}, machine(80, capability=9.0)).plan
        assert plan.recorded() == {
            "quantization": "fp8-dynamic",
            "attention": "cudnn",
            "fused_qkv": True,
            "compile": True,
            "first_block_cache": FAST_THRESHOLD,
        }

    def test_dynamic_float8_compiles_and_fuses_unless_told_otherwise(self) -> None:
        given = validated_memory({"quantization": "fp8-dynamic", "compile": False})
        assert given == {"quantization": "fp8-dynamic", "compile": False, "fused_qkv": True}

    def test_projections_of_quantized_weights_cannot_be_fused(self) -> None:
        with pytest.raises(BackendError, match="fused_qkv does not go with quantization int8"):
            plan_for(FLUX_DEV, {"quantization": "int8", "fused_qkv": True}, machine(80))

    @pytest.mark.parametrize(
        ("given", "threshold", "interval"),
        [
            ({"cache": "first-block"}, FAST_THRESHOLD, 0),
            ({"cache": "first-block", "first_block_cache": 0.2}, 0.2, 0),
            ({"cache": "taylorseer"}, 0, 3),
            ({"cache": "taylorseer", "taylorseer": 5, "first_block_cache": 0.2}, 0, 5),
            ({"cache": "none", "first_block_cache": 0.2}, 0, 0),
        ],
    )
    def test_a_cache_has_its_number(
        self, given: dict[str, Any], threshold: float, interval: int
    ) -> None:
        expected = {"first_block_cache": threshold, "taylorseer": interval}
        assert validated_memory(given) == expected


def test_a_plan_is_recorded_as_what_is_out_of_the_ordinary() -> None:
    plan = replace(MemoryPlan(), quantization="int8", offload="model", gpu_gb=13.0, batch=4)
    assert plan.recorded() == {"quantization": "int8", "offload": "model"}
