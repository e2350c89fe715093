"""A batch of notebooks on this machine whose pictures another one draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import imagen_nb as im
from imagen_nb.batch.running.run import run_batch
from imagen_nb.storage.catalog import Catalog
from tests.fixtures.stand_in_worker import StandIn
from tests.fixtures.supabase_fixtures import TwoUsers, settings

pytestmark = pytest.mark.slow


def test_notebooks_draw_elsewhere(
    box: StandIn, local_supabase: TwoUsers, folder: Path, tmp_path: Path, quick_kernels: None
) -> None:
    config = tmp_path / "imagen.yaml"
    config.write_text(json.dumps(settings(folder, local_supabase)))
    rows = [
        {"prompt": "a boat", "seed": seed, "steps": 1, "width": 64, "height": 64}
        for seed in range(3)
    ]
    results = run_batch(
        rows, output=tmp_path / "runs", config=config, backend="remote", progress=False
    )
    assert [*results["status"]] == ["done"] * 3, results["error"].tolist()
    drawn = {str(id) for ids in results["picture_ids"] for id in ids}
    assert drawn == {str(id) for id in box.sent}
    assert Catalog(folder).counts()["synced"] == 3


def test_a_backend_that_is_none_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(im.UsageError, match="unknown backend 'flux-tiny'"):
        run_batch([{"prompt": "a"}], output=tmp_path / "runs", backend="flux-tiny")
    assert not list((tmp_path / "runs").glob("*.ipynb"))
