"""A local Supabase on a real PostgreSQL with a long history, for the benches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
from supabase_server import FaultProxy

from imagen_nb.cloud.local import LocalSupabase, start, stop
from tests.fixtures import postgres

__all__ = ["FaultProxy", "as_user", "loop", "running"]

# A year with a burst: a fifth of the rows lies within 1,000 moments, the rest is spread evenly.
FILL = """
INSERT INTO imagen.images
  (owner_user_id, prompt, prompt_hash, backend, model, seed, steps, width, height, latency_ms,
   cost_usd_estimate, storage_path, sidecar, tags, created_at)
SELECT
  owner, prompt, encode(sha256(prompt::bytea), 'hex'),
  (ARRAY['flux-tiny-local', 'flux-schnell-local', 'flux-dev-local'])[1 + n %% 3],
  'black-forest-labs/FLUX.1-schnell', n * 7919::bigint, 4, 1024, 1024, 1000 + n %% 977, 0.003,
  owner || '/2026-05-11/picture-' || n || '.png',
  jsonb_build_object(
    'prompt', prompt, 'seed', n, 'scheduler', 'FlowMatchEulerDiscreteScheduler',
    'versions', jsonb_build_object('torch', '2.13.0', 'diffusers', '0.42.1'),
    'sha256', encode(sha256(n::text::bytea), 'hex'), 'options', repeat('x', 500)
  ),
  CASE n %% 4 WHEN 0 THEN ARRAY['keeper', 'rating:5'] WHEN 1 THEN ARRAY['sea'] ELSE '{}' END,
  '2026-11-01'::timestamptz - make_interval(
    secs => (CASE WHEN n %% 5 = 0 THEN n %% 1000 ELSE n END) * 31536000.0 / %(rows)s
  )
FROM (
  SELECT n, %(owner)s::uuid AS owner, 'a ' || (ARRAY[
      'tiny lighthouse on a stormy cliff', 'red boat on a quiet lake at dawn',
      'portrait of an old sailor with a pipe'
    ])[1 + n %% 3] || ', photo, golden hour, film grain, number ' || n AS prompt
  FROM generate_series(1, %(rows)s) AS n
) AS pictures
"""


@contextmanager
def running(rows: int) -> Iterator[LocalSupabase]:
    """A Supabase with so many pictures of its user; gone at the end."""
    postgres._QUICK.update(shared_buffers="512MB")
    cluster = postgres.cluster()
    with cluster.connect("postgres") as admin, tempfile.TemporaryDirectory() as folder:
        admin.execute("CREATE ROLE local_admin SUPERUSER LOGIN PASSWORD 'local'")
        admin.execute("CREATE DATABASE local OWNER local_admin")
        url = f"postgresql://local_admin:local@127.0.0.1:{cluster.port}/local"
        server = start(folder=Path(folder), database_url=url, with_parent=True)
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    FILL.encode(), {"rows": rows, "owner": server.user_id}
                )
                connection.execute("VACUUM ANALYZE imagen.images")
            yield server
        finally:
            stop(folder=Path(folder))
            admin.execute("DROP DATABASE local WITH (FORCE)")
            admin.execute("DROP ROLE local_admin")
            admin.execute("ALTER ROLE authenticator RESET ALL")


def as_user(server: LocalSupabase, url: str | None = None) -> dict[str, Any]:
    """Settings that sign in as the user, so that row-level security is in force."""
    key = {"url": url or server.url, "key": server.anon_key}
    user = {"email": server.email, "password": server.password}
    return {"output": {"dir": f"{server.folder}/pictures"}, "supabase": key | user}


def loop(
    server: LocalSupabase, columns: str = "*", url: str | None = None
) -> pd.DataFrame:
    """The usual way: `.range()` in steps of 1000 until a page is short."""
    import httpx
    from supabase import create_client
    from supabase.lib.client_options import SyncClientOptions

    options = SyncClientOptions(httpx_client=httpx.Client(timeout=300))
    client = create_client(url or server.url, server.anon_key, options)
    client.auth.sign_in_with_password(
        {"email": server.email, "password": server.password}
    )
    table, rows = client.schema("imagen").table("images"), []
    while True:
        page = table.select(columns).order("created_at", desc=True)
        found: list[Any] = page.range(len(rows), len(rows) + 999).execute().data
        rows += found
        if len(found) < 1000:
            return pd.DataFrame(rows)
