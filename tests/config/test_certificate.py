"""A key and a certificate of one's own: private, of C2PA's profile, and not replaced unasked."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import (
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    ExtendedKeyUsage,
    KeyUsage,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from imagen_nb.config.certificate import (
    CertificateFiles,
    certificate_files,
    make_certificate,
    require_no_other_certificate,
)
from imagen_nb.errors import ConfigError, UsageError


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return certificate_files(tmp_path / "config" / "imagen.yaml")


def chain_of(files: CertificateFiles) -> list[Certificate]:
    return load_pem_x509_certificates(files.certificate.read_bytes())


def test_they_are_beside_the_configuration_and_only_the_owner_reads_the_key(
    files: CertificateFiles,
) -> None:
    make_certificate(files)
    assert files.certificate.parent == files.private_key.parent
    assert files.certificate.name == "imagen-provenance.pem"
    assert files.private_key.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in files.certificate.read_bytes()


def test_the_certificate_has_the_profile_of_c2pa(files: CertificateFiles) -> None:
    make_certificate(files, "Ada")
    own, authority = chain_of(files)
    own.verify_directly_issued_by(authority)
    assert own.issuer != own.subject  # C2PA refuses one that vouches for itself
    assert not own.extensions.get_extension_for_class(BasicConstraints).value.ca
    usage = own.extensions.get_extension_for_class(KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    purposes = own.extensions.get_extension_for_class(ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert own.extensions.get_extension_for_class(AuthorityKeyIdentifier).value.key_identifier


def test_it_names_who_signs_and_holds_ten_years(files: CertificateFiles) -> None:
    make_certificate(files, "Ada Löwe")
    own, _ = chain_of(files)
    (name,) = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == "Ada Löwe"
    now = datetime.now(UTC)
    assert own.not_valid_before_utc < now
    assert timedelta(days=3600) < own.not_valid_after_utc - now < timedelta(days=3660)


def test_the_key_is_that_of_the_certificate_and_the_authoritys_is_nowhere(
    files: CertificateFiles,
) -> None:
    make_certificate(files)
    own, authority = chain_of(files)
    key = load_pem_private_key(files.private_key.read_bytes(), None).public_key()
    assert key == own.public_key()
    assert key != authority.public_key()
    assert len(list(files.certificate.parent.iterdir())) == 2


def test_neither_is_replaced_unless_forced(files: CertificateFiles) -> None:
    make_certificate(files)
    before = files.private_key.read_bytes(), files.certificate.read_bytes()
    with pytest.raises(ConfigError, match="add --force"):
        make_certificate(files)
    files.certificate.unlink()
    with pytest.raises(ConfigError, match="add --force"):
        make_certificate(files)
    assert files.private_key.read_bytes() == before[0]
    make_certificate(files, force=True)
    assert files.private_key.read_bytes() != before[0]
    assert files.private_key.stat().st_mode & 0o777 == 0o600


def test_a_certificate_of_somebody_else_is_not_replaced_in_the_configuration(
    files: CertificateFiles, tmp_path: Path
) -> None:
    config = tmp_path / "imagen.yaml"
    require_no_other_certificate(config, files)
    config.write_text(f"provenance:\n  certificate: {files.certificate}\n")
    require_no_other_certificate(config, files)
    config.write_text("provenance:\n  certificate: /bought/mine.pem\n")
    with pytest.raises(ConfigError, match="names another certificate"):
        require_no_other_certificate(config, files)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 65, "ä" * 33, "\u202ea"])
def test_what_is_no_name_is_refused_in_one_line(name: str, files: CertificateFiles) -> None:
    with pytest.raises(UsageError, match="no name for a certificate") as caught:
        make_certificate(files, name)
    assert str(caught.value).isprintable()
    assert not files.certificate.parent.exists()


def test_the_longest_name_is_taken(files: CertificateFiles) -> None:
    make_certificate(files, "ä" * 32)
    assert len(chain_of(files)) == 2


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="choose another place"):
        make_certificate(certificate_files(tmp_path / "file" / "imagen.yaml"))


def test_without_the_extra_one_line_says_what_to_install(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(UsageError, match=r'pip install "imagen_nb\[c2pa\]"'):
        make_certificate(files)
