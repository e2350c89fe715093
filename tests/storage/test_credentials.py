"""Content credentials: what is signed, what is stated, and that no picture is lost over it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from c2pa import Context, Reader
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from imagen_nb.config.groups import ProvenanceSettings
from imagen_nb.errors import ConfigError, UsageError
from imagen_nb.storage import credentials as credentials_module
from imagen_nb.storage.catalog import Catalog
from imagen_nb.storage.credentials import OFFLINE, PictureSigner, signer_of
from imagen_nb.storage.output import PictureFiles, load_png_record, load_record
from imagen_nb.storage.png import encode_png, has_credentials
from imagen_nb.storage.record import Record
from imagen_nb.storage.reindex import reindex
from tests.fixtures.signing import SIGNER

DAY = date(2026, 5, 11)
SERVER_AUTH = x509.ExtendedKeyUsageOID.SERVER_AUTH
Make = Callable[..., Record]
Draw = Callable[..., Image.Image]


def stated(png: bytes, detailed: bool = False) -> dict[str, Any]:
    """What C2PA's library reads in a file: the whole report."""
    with (
        Context.from_dict(OFFLINE) as context,
        Reader("image/png", io.BytesIO(png), context=context) as reader,
    ):
        report: dict[str, Any] = json.loads(reader.detailed_json() if detailed else reader.json())
        return report


def manifest_of(report: dict[str, Any]) -> dict[str, Any]:
    manifest: dict[str, Any] = report["manifests"][report["active_manifest"]]
    return manifest


def created_of(report: dict[str, Any]) -> dict[str, Any]:
    (actions,) = (
        one["data"]["actions"]
        for one in manifest_of(report)["assertions"]
        if one["label"].startswith("c2pa.actions")
    )
    (action,) = actions
    assert action["action"] == "c2pa.created"
    return dict(action)


class TestSigning:
    def test_a_signed_picture_is_valid_and_its_signer_unknown(
        self, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        record = make_record()
        png, signed = PictureSigner(signing).sign(encode_png(make_image(), record), record)
        report = stated(png)
        assert report["validation_state"] == "Valid"
        codes = {one["code"] for one in report.get("validation_status", ())}
        assert codes <= {"signingCredential.untrusted"}
        assert manifest_of(report)["signature_info"]["issuer"] == SIGNER
        assert signed == record.model_copy(update={"content_credentials": "signed"})

    def test_it_states_the_program_the_model_the_time_and_that_a_model_made_it(
        self, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        record = make_record(created_at="2026-05-11T12:00:00Z")
        png, _ = PictureSigner(signing).sign(encode_png(make_image(), record), record)
        report = stated(png)
        (generator,) = manifest_of(report)["claim_generator_info"]
        assert generator["name"] == "imagen_nb"
        created = created_of(report)
        assert created["softwareAgent"]["name"] == "flux-tiny"
        assert created["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
        assert created["when"] == "2026-05-11T12:00:00+00:00"

    def test_the_signer_states_it_and_did_not_find_it_in_the_picture(
        self, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        """By C2PA's word: it is among the created assertions, not among the gathered ones."""
        png, _ = PictureSigner(signing).sign(encode_png(make_image(), make_record()), make_record())
        claim = manifest_of(stated(png, detailed=True))["claim"]
        created = [one["url"].rpartition("/")[2] for one in claim["created_assertions"]]
        assert sorted(created) == ["c2pa.actions.v2", "c2pa.hash.data"]
        assert not claim.get("gathered_assertions")

    def test_what_a_mask_kept_of_another_image_is_stated(
        self, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        record = make_record(inputs=({"name": "mask", "file": "inputs/x.png"},))
        png, _ = PictureSigner(signing).sign(encode_png(make_image(), record), record)
        kind = "compositeWithTrainedAlgorithmicMedia"
        assert created_of(stated(png))["digitalSourceType"].endswith(f"/{kind}")
        assert png.count(kind.encode()) >= 2  # the mark in XMP says the same

    @pytest.mark.parametrize("wanted", [False, True])
    def test_the_prompt_is_quoted_only_when_that_is_wanted(
        self, wanted: bool, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        record = make_record(prompt="a Löwe\n\u202e<b>")
        signer = PictureSigner(signing.model_copy(update={"prompt": wanted}))
        png, _ = signer.sign(encode_png(make_image(), record), record)
        text = json.dumps(stated(png), ensure_ascii=False)
        assert ("Löwe" in text) is wanted

    def test_pixels_and_our_chunks_are_as_before(
        self, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        record, image = make_record(), make_image(3)
        before = encode_png(image, record)
        after, _ = PictureSigner(signing).sign(before, record)
        assert has_credentials(after)
        assert not has_credentials(before)
        with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
            assert new.tobytes() == old.tobytes() == image.tobytes()
            assert new.info.items() >= old.info.items()

    def test_without_c2pa_in_the_settings_nothing_signs(self) -> None:
        assert signer_of(ProvenanceSettings()) is None

    def test_no_secret_is_in_a_repr(self, signing: ProvenanceSettings) -> None:
        signer = PictureSigner(signing)
        signer.require_ready()
        assert "PRIVATE" not in repr(signer) + repr(vars(signer)) + repr(signing)


def own_certificate(folder: Path, key: Any, **changes: Any) -> ProvenanceSettings:
    """Settings for a key of this kind, as somebody has it who bought a certificate."""
    authority, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Bought")])
    above = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Seller")])
    usage = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=above)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(changes.get("begins", now - timedelta(days=1)))
        .not_valid_after(changes.get("ends", now + timedelta(days=1)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [changes.get("purpose", x509.ExtendedKeyUsageOID.EMAIL_PROTECTION)]
            ),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
    )
    pem = serialization.Encoding.PEM
    certificate = builder.sign(authority, hashes.SHA256())
    (folder / "own.pem").write_bytes(certificate.public_bytes(pem))
    password = changes.get("password")
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption)
    (folder / "own-key.pem").write_bytes(private)
    return ProvenanceSettings(
        c2pa=True, certificate=folder / "own.pem", private_key=folder / "own-key.pem"
    )


KEYS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "PS256": lambda: rsa.generate_private_key(65537, 2048),
    "ED25519": ed25519.Ed25519PrivateKey.generate,
}


class TestCertificates:
    @pytest.mark.parametrize("kind", KEYS)
    def test_a_key_of_each_kind_signs(
        self, kind: str, tmp_path: Path, make_record: Make, make_image: Draw
    ) -> None:
        signer = PictureSigner(own_certificate(tmp_path, KEYS[kind]()))
        png, record = signer.sign(encode_png(make_image(), make_record()), make_record())
        assert record.content_credentials == "signed"
        report = stated(png)
        assert report["validation_state"] == "Valid"
        assert manifest_of(report)["signature_info"]["alg"].upper() == kind.title().upper()

    @pytest.mark.parametrize(
        ("what", "says"),
        {
            "certificate": "provenance.certificate is not set",
            "private_key": "provenance.private_key is not set",
        }.items(),
    )
    def test_both_files_must_be_named(
        self, what: str, says: str, signing: ProvenanceSettings
    ) -> None:
        with pytest.raises(ConfigError, match=says):
            PictureSigner(signing.model_copy(update={what: None})).require_ready()

    def test_what_cannot_sign_is_one_line_that_says_what_to_do(
        self, signing: ProvenanceSettings, tmp_path: Path
    ) -> None:
        (tmp_path / "other.pem").write_text("no PEM")
        now, day = datetime.now(UTC), timedelta(days=1)
        key = KEYS["ES256"]()
        other, old, young, web = (tmp_path / name for name in ("a", "b", "c", "web"))
        for folder in (other, old, young, web, tmp_path / "d", tmp_path / "e"):
            folder.mkdir()
        foreign = own_certificate(other, key).private_key
        curve = ec.generate_private_key(ec.SECP256K1())
        cases = {
            "cannot be read": {"certificate": tmp_path / "none.pem"},
            "cannot be read.*no path": {"certificate": Path("a\0b")},
            "has no certificate in PEM": {"certificate": tmp_path / "other.pem"},
            "has no private key in PEM": {"private_key": tmp_path / "other.pem"},
            "is not the key of the certificate": {"private_key": foreign},
            "expired on": dict(own_certificate(old, key, begins=now - 3 * day, ends=now - day)),
            "begins on": dict(own_certificate(young, key, begins=now + day, ends=now + 3 * day)),
            "without a password": dict(own_certificate(tmp_path / "d", key, password=b"x")),
            "of a kind with which C2PA": dict(own_certificate(tmp_path / "e", curve)),
            "is not taken: c2pa cannot sign": dict(own_certificate(web, key, purpose=SERVER_AUTH)),
        }
        for says, changes in cases.items():
            signer = PictureSigner(signing.model_copy(update=changes))
            with pytest.raises(ConfigError, match=says) as caught:
                signer.require_ready()
            assert "imagen config provenance" in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1

    def test_without_the_extra_one_line_says_what_to_install(
        self, signing: ProvenanceSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "c2pa", None)
        with pytest.raises(UsageError, match=r'pip install "imagen_nb\[c2pa\]"'):
            PictureSigner(signing).require_ready()


class TestFiles:
    """What is kept in a folder: each file signed, and all that we do with files goes on."""

    def test_the_hash_in_the_sidecar_is_of_the_signed_file(
        self, folder: Path, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        files = PictureFiles(folder, PictureSigner(signing))
        saved = files.save(make_image(), make_record(), DAY)
        assert stated(saved.path.read_bytes())["validation_state"] == "Valid"
        assert saved.record.content_credentials == "signed"
        assert load_record(saved.path) == saved.record == load_png_record(saved.path)
        assert saved.record.bytes == saved.path.stat().st_size

    def test_a_folder_of_signed_pictures_is_indexed_anew(
        self, folder: Path, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        saved = PictureFiles(folder, PictureSigner(signing)).save(make_image(), make_record(), DAY)
        saved.sidecar_path.unlink()
        report = reindex(folder)
        assert (report.found, report.rebuilt) == (1, (saved.sidecar_path,))
        assert load_record(saved.sidecar_path) == saved.record
        catalog = Catalog(folder)
        assert [entry.path for entry in catalog.latest(2)] == [saved.path]
        catalog.close()

    def test_a_torn_signed_picture_is_seen(
        self, folder: Path, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        files = PictureFiles(folder, PictureSigner(signing))
        saved = files.save(make_image(), make_record(), DAY)
        os.truncate(saved.path, saved.path.stat().st_size - 100)
        assert files.find_drawn(make_record(), DAY) is None

    def test_a_signed_picture_is_drawn_once(
        self, folder: Path, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        files = PictureFiles(folder, PictureSigner(signing))
        first = files.save(make_image(), make_record(), DAY)
        again = files.save(make_image(), make_record(), DAY)
        assert (again.path, again.reused) == (first.path, True)

    def test_one_that_was_kept_unsigned_before_is_written_again_and_signed(
        self, folder: Path, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        plain = PictureFiles(folder).save(make_image(), make_record(), DAY)
        signed = PictureFiles(folder, PictureSigner(signing)).save(make_image(), make_record(), DAY)
        assert (signed.path.name, signed.reused) == (f"{plain.path.stem}-2.png", False)

    def test_where_none_is_asked_for_a_signed_one_does_as_well(
        self, folder: Path, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        signed = PictureFiles(folder, PictureSigner(signing)).save(make_image(), make_record(), DAY)
        again = PictureFiles(folder).save(make_image(), make_record(), DAY)
        assert (again.path, again.reused) == (signed.path, True)

    def test_one_of_today_counts_only_if_it_is_signed(
        self, folder: Path, signing: ProvenanceSettings, make_record: Make, make_image: Draw
    ) -> None:
        record = make_record()
        today = record.created_at.astimezone().date()
        PictureFiles(folder).save(make_image(), record, today)
        signer = PictureSigner(signing)
        assert PictureFiles(folder, signer).find_drawn(record, today) is None
        saved = PictureFiles(folder, signer).save(make_image(), record, today)
        found = PictureFiles(folder, signer).find_drawn(record, today)
        assert found is not None
        assert found.path == saved.path

    def test_what_cannot_be_signed_is_kept_and_says_so_once(
        self,
        folder: Path,
        signing: ProvenanceSettings,
        make_record: Make,
        make_image: Draw,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        signer = PictureSigner(signing)
        signer.require_ready()
        monkeypatch.setattr(credentials_module, "_SETTINGS", {"core": 3})  # c2pa refuses it
        files = PictureFiles(folder, signer)
        saved = [files.save(make_image(n), make_record(seed=n), DAY) for n in range(3)]
        assert [one.record.content_credentials for one in saved] == ["unsigned"] * 3
        assert all(not has_credentials(one.path.read_bytes()) for one in saved)
        said = capsys.readouterr().err
        assert said.count("pictures are kept without a signature") == 1
        again = files.save(make_image(0), make_record(seed=0), DAY)
        assert again.reused  # not one more file each time

    def test_nothing_of_the_key_is_in_a_file_or_told(
        self,
        folder: Path,
        signing: ProvenanceSettings,
        make_record: Make,
        make_image: Draw,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert signing.private_key
        signer = PictureSigner(signing)
        files = PictureFiles(folder, signer)
        files.save(make_image(), make_record(), DAY)
        monkeypatch.setattr(credentials_module, "_SETTINGS", {"core": 3})
        files.save(make_image(1), make_record(), DAY)
        kept = b"".join(path.read_bytes() for path in folder.iterdir())
        told = "".join(capsys.readouterr()).encode() + repr(signer).encode()
        secret = [line for line in signing.private_key.read_bytes().split(b"\n") if line]
        assert len(secret) >= 5
        assert not [line for line in secret if line in kept + told]
        assert str(signing.private_key).encode() not in kept

    def test_a_key_that_vanishes_while_it_draws_costs_no_picture(
        self,
        folder: Path,
        signing: ProvenanceSettings,
        make_record: Make,
        make_image: Draw,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        gone = signing.model_copy(update={"private_key": tmp_path / "gone.pem"})
        saved = PictureFiles(folder, PictureSigner(gone)).save(make_image(), make_record(), DAY)
        assert load_record(saved.path).content_credentials == "unsigned"
        assert "cannot be read" in capsys.readouterr().err
