"""The machines of the chaos: a folder, a clock, a network of its own, and a real process."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.plans import Item
from tests.fixtures.fault_proxy import FaultProxy
from tests.fixtures.kill_points import killing

_LAPTOP = "from tests.chaos.laptop import main; import sys; main(*sys.argv[1:])"
_WORKER = """
from tests.chaos.clocks import shift_clock
from tests.fixtures.pictures import wait_little
from imagen_nb.cli import main
import imagen_nb.studio.remote.worker
shift_clock(float("{hours}"))
wait_little()
main()
"""


@dataclass
class Machine:
    """One process, and what was done to it.

    `settings`: its imagen.yaml. `hours`: how far its clock is off. `dies_at`: a point of
    tests/fixtures/kill_points.py where its next process ends, if it gets there.
    """

    name: str
    python: Path
    settings: dict[str, Any]
    hours: float
    proxy: FaultProxy
    room: Path  # for its configuration and its log
    dies_at: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    process: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        return Path(self.settings["output"]["dir"])

    @property
    def log(self) -> Path:
        return self.room / f"{self.name}.log"

    def command(self) -> list[str]:
        raise NotImplementedError

    def config(self) -> str:
        path = self.room / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(self.settings))
        return str(path)

    def start(self, *arguments: str) -> None:
        """Start its program; what it says is added to its log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.python), *self.command(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.counts["started"] += 1

    def kill(self) -> None:
        """As when the battery is empty."""
        assert self.process
        self.process.kill()
        self.process.wait(60)

    def ends(self, seconds: float) -> int:
        """Wait for its end, and return its exit status."""
        assert self.process
        return self.process.wait(seconds)

    @property
    def was_killed(self) -> bool:
        """By whomever."""
        return self.process is not None and self.process.poll() == -signal.SIGKILL

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Worker(Machine):
    """`imagen work`."""

    def command(self) -> list[str]:
        code = killing(self.dies_at) + _WORKER.format(hours=self.hours)
        return ["-c", code, "work", "--name", self.name, "--config", self.config()]


@dataclass
class Laptop(Machine):
    """Asks for what its plan says, until it has it."""

    plan: list[Item] = field(default_factory=list)
    friends: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        told = {
            "name": self.name,
            "hours": self.hours,
            "friends": self.friends,
            "items": [item.as_json() for item in self.plan],
        }
        path = self.room / f"{self.name}.json"
        path.write_text(json.dumps(told))
        return ["-c", killing(self.dies_at) + _LAPTOP, self.config(), str(path)]

    @property
    def is_home(self) -> bool:
        """Whether it has everything, and has ended."""
        return self.process is not None and self.process.poll() == 0
