"""The map: every picture has a dot, thumbnails hide none, names are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagen_nb.analysis.picture_map import draw_map
from tests.analysis.test_analysis import drawn, frame


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_any_number_of_pictures_is_drawn_and_none_hides_another(count: int, tmp_path: Path) -> None:
    vectors = np.random.default_rng(3).normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ax = draw_map(frame(count, tmp_path), vectors, "$m_", min(count, 3) or None, "pca", None, None)
    assert np.asarray(drawn(ax)).std() > 0
    if not count:
        assert [text.get_text() for text in ax.texts] == ["no pictures"]
        return
    assert len(ax.collections[0].get_offsets()) == count
    assert len(ax.texts) == min(count, 3)
    assert "PCA" in ax.get_xlabel()
    middles = {tuple(np.round(np.reshape(i.get_extent(), (2, 2)).mean(1), 6)) for i in ax.images}
    assert len(middles) == len(ax.images) > count // 3
