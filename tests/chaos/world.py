"""A Supabase on a real PostgreSQL, the machines of two people, and what goes wrong there."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from imagen_nb.cloud import local
from imagen_nb.cloud.local import LocalSupabase
from imagen_nb.cloud.local.state import load_state
from tests.chaos.machines import Laptop, Machine, Worker
from tests.chaos.plans import make_plan
from tests.fixtures.fault_proxy import FAULTS, Fault, FaultProxy
from tests.fixtures.postgres import cluster
from tests.fixtures.server_state import ServerState
from tests.fixtures.supabase_fixtures import User, npm_as_at_home, second_user, settings

LEASE_S = 2
_ACTS_TO_A_RESTART = 25
# No job is given up here however often its workers die; the queue's own tests give up.
_PATIENT = """
ALTER TABLE imagen.jobs DROP CONSTRAINT imagen_jobs_attempts;
CREATE FUNCTION imagen.be_patient() RETURNS TRIGGER LANGUAGE plpgsql AS
$$ BEGIN NEW.max_attempts := 1000; RETURN NEW; END $$;
CREATE TRIGGER be_patient BEFORE INSERT ON imagen.jobs
FOR EACH ROW EXECUTE FUNCTION imagen.be_patient();
"""
_NETWORK = ("500", "502 with HTML", "503", "hang", "cut before", "cut during", "cut after")
_KEEPING = ("before-png:2", "after-png:3", "after-sidecar:5", "after-catalog:2")
_FETCHING = (*_KEEPING, "after-catalog:9")
_SENDING = (
    *_KEEPING,
    "after-claim:2",
    "after-upload:3",
    "before-row:2",
    "after-row:1",
    "after-row:2",
    "after-ack:2",
)


@dataclass
class World:
    """Everything that the chaos happens to."""

    supabase: LocalSupabase
    stranger: User
    database_url: str
    server: ServerState
    workers: list[Worker]
    laptops: list[Laptop]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def machines(self) -> list[Machine]:
        return [*self.workers, *self.laptops]

    def restart_server(self, how: str) -> None:
        """End the Supabase, kindly or not, and start it anew at the same address."""
        if how == "killed":
            state = load_state(self.supabase.folder)
            assert state
            assert state.pid
            os.kill(state.pid, signal.SIGKILL)
        local.stop(self.supabase.folder)
        again = local.start(self.supabase.folder, database_url=self.database_url, with_parent=True)
        assert again.url == self.supabase.url
        self.counts["servers restarted"] += 1

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """What the database has, past everybody's rights."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def story(self) -> str:
        """What happened, in a line."""
        for machine in self.machines:
            kind = "workers" if machine in self.workers else "laptops"
            for what, number in machine.counts.items():
                self.counts[f"{kind} {what}"] += number
            machine.counts.clear()
        return ", ".join(f"{what}: {number}" for what, number in sorted(self.counts.items()))


@contextmanager
def world(room: Path, python: Path, jobs: int, dice: random.Random) -> Iterator[World]:
    """Three workers and two laptops of one account, and one of each of a stranger's.

    The laptops are to ask for so many pictures; nobody has begun.
    """
    with ExitStack() as stack:
        url = stack.enter_context(_database())
        folder = room / "supabase"
        with npm_as_at_home():
            supabase = local.start(folder, database_url=url, with_parent=True)
        stack.callback(local.stop, folder)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_PATIENT)
        server = stack.enter_context(closing(ServerState(supabase.url, supabase.service_key)))
        made = World(supabase, second_user(supabase), url, server, [], [])
        _add_machines(made, room, python, stack)
        _make_plans(made, jobs, dice)
        try:
            yield made
        finally:
            for machine in made.machines:
                if machine.is_up:
                    machine.kill()


@contextmanager
def _database() -> Iterator[str]:
    server = cluster()
    with server.connect("postgres") as admin:
        admin.execute("CREATE ROLE chaos SUPERUSER LOGIN PASSWORD 'chaos'")
        admin.execute("CREATE DATABASE chaos OWNER chaos")
        try:
            yield f"postgresql://chaos:chaos@127.0.0.1:{server.port}/chaos"
        finally:
            admin.execute("DROP DATABASE chaos WITH (FORCE)")
            admin.execute("DROP ROLE chaos")


def _add_machines(world: World, room: Path, python: Path, stack: ExitStack) -> None:
    own = settings(room, world.supabase)["supabase"]
    secret = {"url": "", "key": world.supabase.service_key}
    theirs = own | {"email": world.stranger.email, "password": world.stranger.password}

    def settings_of(name: str, who: dict[str, str]) -> tuple[FaultProxy, dict[str, Any]]:
        proxy = stack.enter_context(FaultProxy(world.supabase.url))
        part: dict[str, Any] = {"output": {"dir": str(room / name)}}
        part["supabase"] = who | {"url": proxy.url}
        if who is secret:
            part["owner_user_id"] = world.supabase.user_id
        return proxy, part

    def worker(name: str, folder: str, who: dict[str, str], hours: float) -> None:
        proxy, part = settings_of(folder, who)
        part |= {"backend": "flux-tiny-local", "work": {"lease_seconds": LEASE_S}}
        world.workers.append(Worker(name, python, part, hours, proxy, room))

    def laptop(name: str, who: dict[str, str], hours: float, friends: list[str]) -> None:
        proxy, part = settings_of(name, who)
        world.laptops.append(Laptop(name, python, part, hours, proxy, room, friends=friends))

    worker("attic", "attic", own, 5)
    worker("attic2", "attic", own, 5)  # another card of the same machine
    worker("cellar", "cellar", secret, -7)
    worker("theirs", "theirs", theirs, 2)
    laptop("desk", own, 3, ["desk", "train"])
    laptop("train", own, -26, ["desk", "train"])
    laptop("stranger", theirs, 0, ["stranger"])


def _make_plans(world: World, jobs: int, dice: random.Random) -> None:
    """A tenth of the jobs is the stranger's."""
    theirs = jobs // 10
    shares = {"desk": (jobs - theirs) // 2, "stranger": theirs}
    shares["train"] = jobs - sum(shares.values())
    for one in world.laptops:
        one.plan = make_plan(one.name, shares[one.name], dice)


@dataclass
class Mischief:
    """What goes wrong: so many acts, and now and then a request, until it is told to end."""

    world: World
    dice: random.Random
    acts: int

    def __post_init__(self) -> None:
        faults: list[Fault | None] = [FAULTS[name] for name in _NETWORK]
        odds = [*faults, *([None] * 30 * len(faults))]
        for machine in self.world.machines:
            machine.proxy.choose = lambda method, path: self.dice.choice(odds)

    def run(self, seconds: float) -> None:
        """Until every laptop is home; raise after so many seconds."""
        world, until = self.world, time.monotonic() + seconds
        for machine in world.machines:
            machine.start()
        while not all(laptop.is_home for laptop in world.laptops):
            assert time.monotonic() < until, f"not at home: {world.story()}"
            time.sleep(self.dice.uniform(0.2, 1.2))  # chance, not an event that is awaited
            if self.acts:
                self.acts -= 1
                self._act()
            else:
                self._be_quiet()
            self._restart_the_dead()
        self._be_quiet()

    def _act(self) -> None:
        world, act = self.world, self.dice.random()
        if self.acts % _ACTS_TO_A_RESTART == 0:
            world.restart_server(self.dice.choice(["killed", "stopped"]))
        elif act < 0.4:
            self._kill(self.dice.choice(world.workers))
        elif act < 0.55:
            self._kill(self.dice.choice(world.laptops))
        elif act < 0.75:
            self._cut(self.dice.choice(world.machines))
        else:
            for machine in world.machines:
                machine.proxy.down = False

    def _kill(self, machine: Machine) -> None:
        if machine.is_up:
            machine.kill()

    def _cut(self, machine: Machine) -> None:
        if not machine.proxy.down:
            machine.proxy.down = True
            self.world.counts["networks cut"] += 1

    def _be_quiet(self) -> None:
        for machine in self.world.machines:
            machine.proxy.down = False
            machine.proxy.choose = lambda method, path: None

    def _restart_the_dead(self) -> None:
        """As systemd does with workers, and people with their kernels."""
        for machine in self.world.machines:
            if machine.is_up or (isinstance(machine, Laptop) and machine.is_home):
                continue
            assert machine.process
            if machine.was_killed:
                machine.counts["killed at a point" if machine.dies_at else "killed"] += 1
            else:
                assert isinstance(machine, Worker), machine.log.read_text()[-3000:]
                machine.counts["ended by themselves"] += 1
            machine.dies_at = self._point_of(machine) if self.acts else ""
            machine.start()

    def _point_of(self, machine: Machine) -> str:
        """Where every second process dies, unless it is killed before."""
        points = _SENDING if isinstance(machine, Worker) else _FETCHING
        return self.dice.choice([*points, *([""] * len(points))])
