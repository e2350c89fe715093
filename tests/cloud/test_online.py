"""Against a real Supabase, where there is one to try: it is left as it was but for one picture.

IMAGEN_TEST_SUPABASE_URL=https://… IMAGEN_TEST_SUPABASE_KEY=… IMAGEN_TEST_OWNER=… make test
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from imagen_nb.cli import run
from tests.fixtures.pictures import render

# Read while pytest collects: each test runs in an environment without SUPABASE_… and IMAGEN_….
NEEDED = ("IMAGEN_TEST_SUPABASE_URL", "IMAGEN_TEST_SUPABASE_KEY", "IMAGEN_TEST_OWNER")
GIVEN = {name: os.environ.get(name, "") for name in NEEDED}


@pytest.mark.skipif(not all(GIVEN.values()), reason=f"set {', '.join(NEEDED)} to try a real one")
def test_a_real_supabase_takes_a_picture_and_gives_it_back(folder: Path, tmp_path: Path) -> None:
    url, key, owner = GIVEN.values()
    settings: dict[str, Any] = {
        "output": {"dir": str(folder)},
        "supabase": {"url": url, "key": key},
        "owner_user_id": owner,
    }
    config = tmp_path / "imagen.yaml"
    config.write_text(json.dumps(settings))
    config.chmod(0o600)
    render(folder, 1, prompt="imagen_nb smoke test")
    assert run(["config", "validate", "--online", "--config", str(config)]) == 0
    assert run(["sync", "--verify", "--config", str(config)]) == 0
