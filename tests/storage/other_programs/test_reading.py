"""What pictures of other programs say is read as these programs mean it, and kept whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from imagen_nb.storage.other_programs.foreign_metadata import ForeignMetadata
from imagen_nb.storage.other_programs.reading import read_metadata
from tests.fixtures.other_programs import SAMPLES, Sample, write_sample


def read(path: Path) -> ForeignMetadata:
    with Image.open(path) as image:
        return read_metadata(image, path)


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_a_picture_says_what_its_program_meant(sample: Sample, tmp_path: Path) -> None:
    found = read(write_sample(sample, tmp_path))
    assert found == ForeignMetadata(**sample.expected, raw=found.raw)
