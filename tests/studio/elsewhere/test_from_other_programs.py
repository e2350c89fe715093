"""A page, or anything else that can insert a row, has pictures drawn: the docs' own example."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import httpx

import imagen_nb as im
from imagen_nb.cloud.local.install import ensure_installed
from imagen_nb.cloud.local.node import find_node
from tests.fixtures.stand_in_worker import StandIn
from tests.fixtures.supabase_fixtures import TwoUsers, npm_as_at_home

_PAGE = Path(__file__).parents[3] / "docs" / "remote.md"
_IMPORT = 'import { createClient } from "@supabase/supabase-js";\n'
_FOUND_HERE = """import { createRequire } from "node:module";
const found = createRequire(`${process.env.PACKAGES}/`);
const { createClient: connect } = found("@supabase/supabase-js");
// Node before 22 has no WebSocket, which the client wants though nothing here is live.
const realtime = { transport: globalThis.WebSocket ?? class {} };
const createClient = (url, key) => connect(url, key, { auth: { persistSession: false }, realtime });
"""


def example() -> str:
    """The program of the docs, with Supabase's client taken from where the tests have it."""
    _, page = _PAGE.read_text(encoding="utf-8").split("## From another program", 1)
    program = re.findall(r"```js\n(.*?)```", page, re.DOTALL)[0]
    assert _IMPORT in program
    return str(program).replace(_IMPORT, _FOUND_HERE)


def test_the_docs_example_has_a_picture_drawn_and_the_history_has_it(
    box: StandIn, laptop: im.Studio, local_supabase: TwoUsers, tmp_path: Path
) -> None:
    node = find_node()
    with npm_as_at_home():
        packages = ensure_installed(node, print)
    program = tmp_path / "page.mjs"
    program.write_text(example())
    account = {
        "PACKAGES": str(packages),
        "SUPABASE_URL": local_supabase.url,
        "SUPABASE_KEY": local_supabase.anon_key,
        "SUPABASE_EMAIL": local_supabase.email,
        "SUPABASE_PASSWORD": local_supabase.password,
    }
    done = subprocess.run(
        [node.node, str(program)],
        env={**os.environ, **account},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (row,) = laptop.history(source="cloud").to_dict("records")
    assert (row["id"], row["prompt"], row["tags"]) == (told["id"], told["prompt"], ["from-a-page"])
    picture = laptop.job(told["id"]).picture()
    assert httpx.get(told["url"]).content == picture.path.read_bytes()
    assert picture.record.seed == told["seed"] == 11
