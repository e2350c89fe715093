"""What this machine has: cards as torch tells of them, which is set here, and RAM."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from imagen_nb.backends.flux.memory.choice import dtype_of
from imagen_nb.backends.flux.memory.machine import plan_for, this_machine
from imagen_nb.backends.flux.memory.plan import Machine
from imagen_nb.backends.flux.memory.ram import total_ram_gb
from imagen_nb.backends.flux.memory.words import describe_machine
from imagen_nb.backends.flux.models import FLUX_DEV
from imagen_nb.backends.session import choose_backend
from imagen_nb.backends.tiny import FLUX_TINY
from imagen_nb.errors import BackendError


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends cards of so many GB: cuda, or rocm by its version."""

    def pretend(*gigabytes: float, capability: tuple[int, int] = (8, 9), hip: str = "") -> None:
        sizes = [int(size * 1e9) for size in gigabytes]
        answers = {
            "is_available": lambda: bool(sizes),
            "device_count": lambda: len(sizes),
            "current_device": lambda: 0,
            "mem_get_info": lambda device=0: (sizes[device], sizes[device]),
            "get_device_capability": lambda device=0: capability,
            "get_device_properties": lambda device: SimpleNamespace(total_memory=sizes[device]),
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)
        monkeypatch.setattr(torch.version, "hip", hip or None)

    return pretend


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretends a Mac whose card may use 24 GB, 2 of them in use."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 24_000_000_000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2_000_000_000)


class TestCards:
    def test_the_first_is_used_and_the_largest_other_is_known(
        self, cards: Callable[..., None]
    ) -> None:
        cards(24, 12, 16)
        found = this_machine()
        assert (found.device, found.gpu_gb, found.capability) == ("cuda", 24, 8.9)
        assert (found.second, round(found.second_gb, 1)) == ("cuda:2", 15.7)

    def test_another_one_can_be_named(self, cards: Callable[..., None]) -> None:
        cards(24, 12)
        found = this_machine("cuda:1")
        assert (found.device, found.gpu_gb, found.second) == ("cuda:1", 12, "")
        assert this_machine("cuda:1", with_second=True).second == "cuda:0"

    def test_the_plan_goes_where_it_is_told(self, cards: Callable[..., None]) -> None:
        cards(24, 80)
        plan = plan_for(FLUX_TINY, {"device": "cuda:1"}).plan
        assert (plan.device, plan.encoder_device, plan.gpu_gb > 0) == ("cuda:1", "cuda:1", True)
        on_cpu = plan_for(FLUX_TINY, {"device": "cpu"}).plan
        assert (on_cpu.device, on_cpu.gpu_gb) == ("cpu", 0)

    def test_where_a_picture_was_drawn_is_no_part_of_the_plan_that_is_recorded(
        self, cards: Callable[..., None]
    ) -> None:
        cards(24, 80)
        assert plan_for(FLUX_TINY, {"device": "cuda:1"}).plan.recorded() == {}

    @pytest.mark.parametrize(("device", "count"), [("cuda:2", 2), ("cuda", 0), ("mps", 0)])
    def test_one_that_is_not_there_is_one_line(
        self, device: str, count: int, cards: Callable[..., None]
    ) -> None:
        cards(*[24] * count)
        with pytest.raises(BackendError, match=f"memory.device is {device}, and there"):
            this_machine(device)

    def test_amds_numbers_are_no_compute_capability(self, cards: Callable[..., None]) -> None:
        """gfx1100 would be 11: a card with float8 and more."""
        cards(24, capability=(11, 0), hip="6.4.4")
        found = this_machine()
        assert (found.make, found.capability) == ("rocm", 0)
        assert dtype_of(found, "float32") == "bfloat16"
        reasons = dict(plan_for(FLUX_DEV, {}, found).skipped)
        assert reasons["fp8"] == "fp8 needs a CUDA graphics card"
        assert "AMD, ROCm" in describe_machine(found)

    @pytest.mark.usefixtures("apple")
    def test_apples_card_draws_and_its_memory_is_the_ram(self, hub_cache: Path) -> None:
        found = this_machine()
        assert (found.device, found.make, found.gpu_gb) == ("mps", "mps", 22)
        plan = plan_for(FLUX_TINY, {}, found).plan
        assert (plan.device, plan.dtype, plan.offload) == ("mps", "bfloat16", "none")
        large = Machine(60, 96, make="mps", device="mps", packages=found.packages)
        whole = plan_for(FLUX_DEV, {}, large).plan
        assert whole.ram_gb == pytest.approx(whole.gpu_gb + 1.5, abs=0.02)

    @pytest.mark.usefixtures("apple")
    def test_on_it_nothing_is_offloaded_and_nothing_is_float8(self, hub_cache: Path) -> None:
        small = Machine(22, 32, make="mps", device="mps", packages=this_machine().packages)
        choice = plan_for(FLUX_DEV, {}, small)
        assert choice.plan.name == "int8-freed"
        reasons = dict(choice.skipped)
        assert "the card's memory is the RAM" in reasons["offloaded"]
        assert reasons["fp8"] == "fp8 needs a CUDA graphics card"

    @pytest.mark.usefixtures("apple")
    def test_auto_counts_it_as_a_card(
        self, fetched: Callable[[str, Path], Path], schnell_folder: Path
    ) -> None:
        fetched("black-forest-labs/FLUX.1-schnell", schnell_folder)
        assert choose_backend() == ("flux-schnell-local", "")


class TestRam:
    """Files of Linux as a container sees them; psutil is asked for the machine's own."""

    @pytest.fixture(autouse=True)
    def _machine_of_64_gb(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64_000_000_000))

    def root(self, folder: Path, cgroup: str, limits: dict[str, str]) -> Path:
        (folder / "proc/self").mkdir(parents=True)
        (folder / "proc/self/cgroup").write_text(cgroup)
        for name, limit in limits.items():
            file = folder / "sys/fs/cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{limit}\n")
        return folder

    @pytest.mark.parametrize(
        ("cgroup", "limits", "gigabytes"),
        [
            ("0::/\n", {"memory.max": "16000000000"}, 16),
            ("0::/\n", {"memory.max": "max"}, 64),
            ("0::/\n", {"memory.max": "128000000000"}, 64),
            ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "8000000000"}, 8),
            ("0::/a/b\n", {"memory.max": "4000000000"}, 4),  # the container's own root
            (
                "5:cpu:/x\n4:memory:/docker/1\n",
                {"memory/docker/1/memory.limit_in_bytes": "12000000000"},
                12,
            ),
            ("4:memory:/docker/1\n", {"memory/memory.limit_in_bytes": "12000000000"}, 12),
            ("nonsense", {}, 64),
        ],
    )
    def test_a_container_has_what_it_may_use(
        self, cgroup: str, limits: dict[str, str], gigabytes: float, tmp_path: Path
    ) -> None:
        assert total_ram_gb(self.root(tmp_path, cgroup, limits)) == gigabytes

    def test_a_path_that_climbs_reads_nothing_outside(self, tmp_path: Path) -> None:
        root = self.root(tmp_path, "0::/../../..\n", {})
        assert total_ram_gb(root) == 64

    def test_without_linux_it_is_the_machines(self, tmp_path: Path) -> None:
        assert total_ram_gb(tmp_path) == 64

    @pytest.mark.skipif(sys.platform == "win32", reason="is Windows")
    def test_windows_which_has_no_sysconf_is_asked_too(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        import os

        monkeypatch.delattr(os, "sysconf")
        assert total_ram_gb(tmp_path) == 64
