"""Clusters, maps and near-duplicates of pictures that the embedded FLUX drew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from sklearn.metrics import adjusted_rand_score

from imagen_nb.errors import UsageError
from imagen_nb.frames.mapping.clusters import add_clusters, cluster_numbers
from imagen_nb.frames.mapping.naming import cluster_names
from imagen_nb.frames.mapping.projection import principal_components, project
from imagen_nb.frames.pictures.alike import group_alike
from imagen_nb.studio.default import using
from imagen_nb.studio.studio import Studio

SCENES = (
    "a red boat at sea",
    "a lighthouse on a cliff at night",
    "a yellow house in a field",
    "a green tree in the snow",
    "a blue fish under water",
    "a cat on a red background",
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    chosen = {"output": {"dir": tmp_path_factory.mktemp("scenes")}, "backend": "flux-tiny-local"}
    with Studio(chosen, background=False) as session:
        for scene in SCENES:
            session.sweep(scene, seeds=range(6), progress=False)
        yield session


@pytest.fixture
def scenes(studio: Studio) -> Iterator[pd.DataFrame]:
    with using(studio):
        yield studio.history()


def units(*rows: list[float]) -> np.ndarray:
    found = np.array(rows, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class TestClusters:
    def test_they_are_the_scenes_and_are_named_by_their_words(self, scenes: pd.DataFrame) -> None:
        found = scenes.imagen.clusters(embedder="tiny")
        assert [*found.index] == [*scenes.index]
        assert adjusted_rand_score(found["prompt"], found["cluster"]) >= 0.9
        words = found.groupby("prompt")["cluster"].agg(lambda names: names.mode()[0])
        assert "lighthouse" in words[SCENES[1]]
        assert "cat" in words[SCENES[5]]

    def test_the_same_pictures_give_the_same_clusters(self, scenes: pd.DataFrame) -> None:
        first = scenes.imagen.clusters(4, embedder="tiny")
        pd.testing.assert_frame_equal(scenes.imagen.clusters(4, embedder="tiny"), first)
        assert first["cluster"].nunique() == 4

    def test_pictures_without_a_vector_have_no_cluster(self) -> None:
        vectors = units([1, 0], [0, 1], [1, 1])
        vectors[1], vectors[2] = np.nan, 0
        found = add_clusters(pd.DataFrame({"prompt": ["a boat", "b", "c"]}), vectors, None)
        assert found["cluster"].fillna("-").tolist() == ["boat", "-", "-"]

    def test_more_clusters_than_pictures_are_as_many_as_pictures(self) -> None:
        assert set(cluster_numbers(units([1, 0], [0, 1], [0, 1]), 9)) == {0, 1}
        assert cluster_numbers(np.empty((0, 2), np.float32), 3).tolist() == []

    @pytest.mark.parametrize("n", [0, -1, 1.5, "3"])
    def test_n_is_a_number_of_clusters(self, n: int) -> None:
        with pytest.raises(UsageError, match="how many clusters"):
            cluster_numbers(units([1, 0]), n)

    def test_without_scikit_learn_the_line_that_installs_it_is_said(
        self, scenes: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
        with pytest.raises(UsageError, match=r'pip install "imagen_nb\[umap\]"'):
            scenes.imagen.clusters(embedder="tiny")
        ax = scenes.imagen.map(embedder="tiny", layout="pca")
        assert "imagen_nb[umap]" in ax.get_xlabel()
        assert not ax.texts


class TestNames:
    @given(st.lists(st.tuples(st.integers(-1, 4), st.text(max_size=60)), max_size=30))
    def test_any_prompts_give_names_that_differ_and_are_words(
        self, pictures: list[tuple[int, str]]
    ) -> None:
        numbers = np.array([number for number, _ in pictures], np.int64)
        names = cluster_names(numbers, [prompt for _, prompt in pictures])
        assert {*names} == {number for number, _ in pictures if number >= 0}
        assert len({*names.values()}) == len(names)
        for name in names.values():
            assert name
            assert name.isprintable()
            assert not set(name) & set('<>&$`"\\')

    def test_a_word_of_all_pictures_names_none(self) -> None:
        prompts = ["a photo of a boat", "a photo of a cat"] * 5
        names = cluster_names(np.array([0, 1] * 5), prompts)
        assert names == {0: "boat", 1: "cat"}

    def test_clusters_of_the_same_words_are_numbered(self) -> None:
        assert cluster_names(np.array([0, 1, 2]), ["boat", "boat", ""]) == {
            0: "boat",
            1: "boat (2)",
            2: "without words",
        }


class TestMap:
    def test_equal_vectors_give_equal_places_and_scenes_lie_together(
        self, scenes: pd.DataFrame
    ) -> None:
        _, vectors = scenes.imagen._vectors("tiny")
        points = principal_components(vectors)
        assert np.array_equal(points, principal_components(vectors))
        assert points.shape == (36, 2)
        gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        prompts = scenes["prompt"].to_numpy()
        assert (prompts[gaps.argmin(axis=1)] == prompts).mean() >= 0.8

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_few_pictures_have_places(self, count: int) -> None:
        points = project(units([1, 0, 0], [0, 1, 0])[:count]).points
        assert points.shape == (count, 2)
        assert np.isfinite(points).all()

    def test_an_unknown_layout_is_refused(self) -> None:
        with pytest.raises(UsageError, match="auto, umap, pca"):
            project(units([1, 0]), "tsne")

    def test_without_umap_it_is_pca(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "umap", None)
        vectors = units(*np.random.default_rng(1).normal(size=(40, 8)).tolist())
        assert project(vectors).method == "PCA"
        with pytest.raises(UsageError, match="umap-learn"):
            project(vectors, "umap")

    @pytest.mark.soak  # compiling UMAP takes a minute
    def test_umap_lays_scenes_together_the_same_each_time(self, scenes: pd.DataFrame) -> None:
        _, vectors = scenes.imagen._vectors("tiny")
        first = project(vectors)
        assert first.method == "UMAP"
        assert np.array_equal(first.points, project(vectors).points)
        gaps = np.linalg.norm(first.points[:, None] - first.points[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        prompts = scenes["prompt"].to_numpy()
        assert (prompts[gaps.argmin(axis=1)] == prompts).mean() >= 0.9


class TestAlike:
    def test_copies_are_found_and_other_drawings_are_not(
        self, studio: Studio, scenes: pd.DataFrame, tmp_path: Path
    ) -> None:
        originals = scenes.drop_duplicates("prompt")
        changed = originals.copy()
        paths = []
        for place, path in enumerate(originals["local_path"]):
            image = Image.open(path).convert("RGB")
            if place % 3 == 0:
                image.save(tmp_path / f"{place}.jpg", quality=85)
            elif place % 3 == 1:
                image.resize((96, 96)).save(tmp_path / f"{place}.jpg", quality=90)
            else:
                ImageEnhance.Brightness(image).enhance(1.02).save(tmp_path / f"{place}.jpg")
            paths.append(str(tmp_path / f"{place}.jpg"))
        changed["local_path"] = paths
        changed["id"] = [f"00000000-0000-4000-8000-{n:012}" for n in range(len(paths))]
        both = pd.concat([originals, changed], ignore_index=True)
        found = both.imagen.duplicates(near="look", embedder="tiny")
        assert found.groupby("group")["prompt"].nunique().tolist() == [1] * len(SCENES)
        assert len(found) == 2 * len(SCENES)
        drawn = scenes.imagen.duplicates(near="look", embedder="tiny")
        assert len(drawn) <= len(scenes) // 2

    def test_no_file_is_opened_where_vectors_are_kept(
        self, scenes: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = scenes.imagen.duplicates(near="look", embedder="tiny")
        monkeypatch.setattr(Image, "open", None)
        monkeypatch.setitem(sys.modules, "imagehash", None)
        again = scenes.imagen.duplicates(near="look", embedder="tiny")
        pd.testing.assert_frame_equal(again, first)

    @pytest.mark.parametrize("alike", [0, -1, 1.01, "0.9", None])
    def test_alike_is_a_cosine(self, scenes: pd.DataFrame, alike: float) -> None:
        with pytest.raises(UsageError, match="cosine"):
            scenes.imagen.duplicates(near="look", alike=alike, embedder="tiny")

    @given(st.lists(st.floats(0, 3.1), max_size=30), st.floats(0.5, 0.999))
    def test_any_two_of_a_group_are_alike(self, angles: list[float], cosine: float) -> None:
        vectors = np.array([[np.cos(a), np.sin(a)] for a in angles], np.float32).reshape(-1, 2)
        groups = group_alike(vectors, cosine)
        members = [one for group in groups for one in group]
        assert len(members) == len({*members})
        for group in groups:
            assert len(group) > 1
            assert (vectors[group] @ vectors[group].T).min() >= cosine - 1e-5

    def test_a_chain_is_no_group_and_nothing_is_like_nothing(self) -> None:
        angles = [0.0, 0.1, 0.2]
        vectors = np.array([[np.cos(a), np.sin(a)] for a in angles], np.float32)
        assert group_alike(vectors, float(np.cos(0.15))) == [[0, 1]]
        assert group_alike(np.zeros((3, 2), np.float32), 0.9) == []
        assert group_alike(np.full((3, 2), np.nan, np.float32), 0.9) == []

    def test_ten_thousand_vectors_are_compared(self) -> None:
        made = np.random.default_rng(5).normal(size=(5000, 64)).astype(np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        groups = group_alike(np.concatenate([made, made]), 0.99)
        assert groups[:2] == [[0, 5000], [1, 5001]]
        assert len(groups) == 5000
