"""Is a file as it was made? Each thing that tells, and what each change is noticed by."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagen_nb.config.certificate import certificate_files, make_certificate
from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.errors import StorageError, UsageError
from imagen_nb.storage.credentials import PictureSigner
from imagen_nb.storage.credentials_reading import load_authorities
from imagen_nb.storage.names import sidecar_of
from imagen_nb.storage.output import PictureFiles, SavedPicture, load_record, rewrite_sidecar
from imagen_nb.storage.record import Record, new_id
from imagen_nb.storage.verification import Verification, verify_picture
from tests.fixtures.signing import SIGNER

DAY = date(2026, 5, 11)
STORED = Path(__file__).parents[1] / "fixtures" / "signed.png"
Save = Callable[..., SavedPicture]


@pytest.fixture
def save(
    folder: Path, make_record: Callable[..., Record], make_image: Callable[..., Image.Image]
) -> Save:
    """Keeps a picture; signed with these settings."""

    def keep(signing: ProvenanceSettings | None = None, **fields: Any) -> SavedPicture:
        signer = PictureSigner(signing) if signing else None
        record = make_record(width=64, height=64, **fields)
        return PictureFiles(folder, signer).save(make_image(0, (64, 64)), record, DAY)

    return keep


def verdicts(found: Verification) -> dict[str, str]:
    return {check.what: check.verdict for check in found.checks}


GOOD = {
    "content credentials": "good",
    "record": "good",
    "sidecar": "good",
    "sha256": "good",
}


def test_a_signed_picture_is_good_and_says_by_whom(save: Save, signing: ProvenanceSettings) -> None:
    found = verify_picture(save(signing).path)
    assert verdicts(found) == GOOD
    assert found.holds
    assert found.credentials is not None
    assert (found.credentials.signer, found.credentials.trusted) == (SIGNER, False)
    assert found.credentials.source_type == "trainedAlgorithmicMedia"
    assert found.credentials.model == "flux-tiny"
    assert found.credentials.generator.startswith("imagen_nb ")
    assert found.credentials.prompt is None
    assert f"signed by {SIGNER}, not by a trusted authority" in str(found.checks[0])


def test_a_signer_for_whom_a_trusted_authority_vouches_is_told_so(
    save: Save, signing: ProvenanceSettings, tmp_path: Path
) -> None:
    saved = save(signing)
    assert signing.certificate
    _, _own, authority = signing.certificate.read_text().split("-----BEGIN")
    trusted, others = tmp_path / "trusted.pem", tmp_path / "others.pem"
    trusted.write_text(f"-----BEGIN{authority}")
    make_certificate(certificate_files(tmp_path / "imagen.yaml"))
    others.write_bytes((tmp_path / "imagen-provenance.pem").read_bytes())
    found = verify_picture(saved.path, load_authorities(trusted))
    assert f"signed by {SIGNER}, vouched for by a trusted authority" in str(found.checks[0])
    assert found.credentials
    assert found.credentials.trusted
    assert found.holds
    other = verify_picture(saved.path, load_authorities(others)).credentials
    assert other
    assert not other.trusted


def test_a_picture_that_was_signed_by_an_earlier_version_stays_good(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(STORED.read_bytes())
    found = verify_picture(path)
    assert verdicts(found) == GOOD | {"sidecar": "not there", "sha256": "not there"}
    assert found.credentials
    assert (found.credentials.prompt, found.credentials.when[:10]) == ("a boat", "2026-05-11")


def test_what_holds_no_authority_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no PEM")
    with pytest.raises(UsageError, match="has no certificate in PEM"):
        load_authorities(tmp_path / "x.pem")
    with pytest.raises(UsageError, match="cannot read"):
        load_authorities(tmp_path / "none.pem")


def test_a_quoted_prompt_is_read_back(save: Save, signing: ProvenanceSettings) -> None:
    saved = save(signing.model_copy(update={"prompt": True}))
    found = verify_picture(saved.path).credentials
    assert found is not None
    assert found.prompt == saved.record.prompt


def test_an_unsigned_picture_is_good_without(save: Save) -> None:
    found = verify_picture(save().path)
    assert verdicts(found) == GOOD | {"content credentials": "not there"}
    assert found.holds


def test_a_sidecar_names_its_picture(save: Save) -> None:
    saved = save()
    assert verify_picture(saved.sidecar_path) == verify_picture(str(saved.path))


def test_a_changed_pixel_is_noticed_by_signature_and_hash(
    save: Save, signing: ProvenanceSettings
) -> None:
    """Changed in the file itself: all chunks, ours and the signed one, are as before."""
    saved = save(signing)
    data = bytearray(saved.path.read_bytes())
    place = data.index(b"IDAT") - 4
    size = int.from_bytes(data[place : place + 4], "big")
    data[place : place + 12 + size] = blank_pixels(64, 64)
    saved.path.write_bytes(data)
    found = verify_picture(saved.path)
    assert verdicts(found) == GOOD | {"content credentials": "changed", "sha256": "changed"}
    assert not found.holds
    assert found.credentials
    assert found.credentials.problems == ("assertion.dataHash.mismatch",)
    assert f"it says: signed by {SIGNER}" in str(found.checks[0])


def blank_pixels(width: int, height: int) -> bytes:
    """The chunk of a black picture's pixels."""
    import io

    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    data = buffer.getvalue()
    start = data.index(b"IDAT") - 4
    return data[start : data.index(b"IEND") - 4]


def test_a_changed_record_is_noticed(save: Save, signing: ProvenanceSettings) -> None:
    saved = save(signing)
    data = saved.path.read_bytes()
    assert data.count(b'"seed": 11') == 1
    saved.path.write_bytes(data.replace(b'"seed": 11', b'"seed": 12'))  # its checksum is wrong
    assert verdicts(verify_picture(saved.path))["record"] == "changed"
    assert not verify_picture(saved.path).holds


def test_credentials_that_another_program_removed_are_missed(
    save: Save, signing: ProvenanceSettings
) -> None:
    saved = save(signing)
    with Image.open(saved.path) as image:
        image.load()
    image.save(saved.path)
    found = verify_picture(saved.path)
    assert verdicts(found) == {
        "content credentials": "changed",
        "record": "not there",
        "sidecar": "good",
        "sha256": "changed",
    }
    sidecar_of(saved.path).unlink()
    assert {*verdicts(verify_picture(saved.path)).values()} == {"not there"}


def test_another_pictures_sidecar_is_noticed(save: Save) -> None:
    saved = save()
    rewrite_sidecar(saved, saved.record.model_copy(update={"seed": 12}))
    assert verdicts(verify_picture(saved.path))["sidecar"] == "changed"
    saved.sidecar_path.write_text("{")
    assert verdicts(verify_picture(saved.path))["sidecar"] == "changed"


@pytest.mark.parametrize("seed", [11, None])
def test_tags_and_the_id_that_the_cloud_gave_are_no_contradiction(
    seed: int | None, save: Save, signing: ProvenanceSettings
) -> None:
    saved = save(signing, seed=seed)
    rewrite_sidecar(saved, saved.record.model_copy(update={"tags": ("x",), "id": new_id()}))
    assert verify_picture(saved.path).holds


def test_a_jpeg_has_no_record_and_may_have_credentials(
    tmp_path: Path, make_image: Callable[..., Image.Image]
) -> None:
    path = tmp_path / "other.jpg"
    make_image().save(path)
    assert {*verdicts(verify_picture(path)).values()} == {"not there"}


@pytest.mark.parametrize("data", [b"", b"a text", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_picture_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(StorageError, match="no PNG, JPEG or WebP"):
        verify_picture(path)
    for place in (tmp_path / "none.png", tmp_path):
        with pytest.raises(StorageError, match="cannot read"):
            verify_picture(place)


def test_without_the_extra_signed_pictures_are_not_checked_and_the_rest_is(
    save: Save, signing: ProvenanceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save(signing)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    found = verify_picture(saved.path)
    assert verdicts(found) == GOOD | {"content credentials": "not checked"}
    assert 'pip install "imagen_nb[c2pa]"' in str(found.checks[0])
    jpeg = saved.path.with_name("other.jpg")
    Image.new("RGB", (8, 8)).save(jpeg)
    assert verdicts(verify_picture(jpeg))["content credentials"] == "not checked"
    with Image.open(jpeg) as image:
        image.save(jpeg.with_suffix(".png"))
    assert verdicts(verify_picture(jpeg.with_suffix(".png")))["content credentials"] == "not there"


def test_the_record_stays_readable(save: Save, signing: ProvenanceSettings) -> None:
    saved = save(signing)
    verify_picture(saved.path)
    assert load_record(saved.path) == saved.record  # nothing was written
