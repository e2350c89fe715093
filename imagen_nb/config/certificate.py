"""Makes a private key and a certificate of one's own, to sign pictures with."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagen_nb.config.settings import config_path
from imagen_nb.config.yaml_edit import load_written_values
from imagen_nb.errors import ConfigError, UsageError, printable
from imagen_nb.system.atomic import write_atomically, write_private
from imagen_nb.system.paths import absolute_path

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

MISSING_C2PA = 'signing pictures needs c2pa-python: pip install "imagen_nb[c2pa]"'
USUAL_SIGNER = "imagen_nb, self-made certificate"
_MAX_SIGNER_BYTES = 64  # of a name in X.509, in UTF-8
_VALID_YEARS = 10
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a certificate and its private key are, each in PEM."""

    certificate: Path
    private_key: Path

    def settings(self) -> dict[str, str | bool]:
        """Return the settings, by dotted key, with which these sign every picture."""
        return {
            "provenance.c2pa": True,
            "provenance.certificate": str(self.certificate),
            "provenance.private_key": str(self.private_key),
        }


def certificate_files(config: Path | None = None) -> CertificateFiles:
    """Return the files beside the configuration `config`, or beside `config_path()`."""
    file = absolute_path(config or config_path())
    return CertificateFiles(
        file.with_name(f"{file.stem}-provenance.pem"),
        file.with_name(f"{file.stem}-provenance-key.pem"),
    )


def make_certificate(
    files: CertificateFiles, signer: str = USUAL_SIGNER, *, force: bool = False
) -> None:
    """Make a key, readable by its owner only, and a certificate that holds ten years.

    The certificate has the profile that C2PA asks for. An authority that is made for
    it, and whose key is forgotten at once, vouches for it: nobody else does.

    Args:
        files: where they are written.
        signer: who signs, as verifiers show it; at most 64 bytes in UTF-8.
        force: replace files that are there.

    Raises:
        UsageError: if `signer` is no name, or the extra `c2pa` is not installed.
        ConfigError: if one of the files is there, or cannot be written.
    """
    _require_name(signer)
    there = [path for path in (files.certificate, files.private_key) if path.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} is there already: add --force to replace key and certificate"
        )
    chain, key = _self_made_chain(signer)
    try:
        files.private_key.parent.mkdir(parents=True, exist_ok=True)
        write_private(files.private_key, key)
        write_atomically(files.certificate, chain)
    except OSError as error:
        raise ConfigError(
            f"{files.private_key.parent} cannot be written to ({error.strerror}):"
            " choose another place for the configuration"
        ) from None


def require_no_other_certificate(config: Path, files: CertificateFiles) -> None:
    """Raise `ConfigError` if a configuration names a certificate other than these."""
    group = load_written_values(config).get("provenance")
    named = group.get("certificate") if isinstance(group, dict) else None
    if named and str(named) != str(files.certificate):
        raise ConfigError(
            f"{config} names another certificate already: add --force to replace it"
        )


def _require_name(signer: str) -> None:
    too_long = len(signer.encode(errors="replace")) > _MAX_SIGNER_BYTES
    if not signer.strip() or too_long or not signer.isprintable():
        raise UsageError(
            f"{printable(signer[:_MAX_SIGNER_BYTES])!r} is no name for a certificate:"
            f" give one line of at most {_MAX_SIGNER_BYTES} letters (fewer with accents)"
        )


def _self_made_chain(signer: str) -> tuple[bytes, bytes]:
    """Return the chain in PEM, the signer's certificate first, and its key in PEM."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise UsageError(MISSING_C2PA) from None
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    chain = b"".join(one.public_bytes(pem) for one in _certificates(signer, key))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return chain, private


def _certificates(
    signer: str, key: EllipticCurvePrivateKey
) -> tuple[Certificate, Certificate]:
    """Return the signer's certificate, and that of the authority which vouches for it.

    C2PA refuses a certificate that vouches for itself.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority = ec.generate_private_key(ec.SECP256R1())
    above = _subject("authority of one self-made certificate", signer)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        authority.public_key()
    )
    root = (
        _certificate_of(above, above, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(identifier, critical=False)
    )
    own = (
        _certificate_of(_subject(signer, signer), above, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage("digital_signature"), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]),
            critical=False,
        )
        .add_extension(identifier, critical=False)
    )
    sha256 = hashes.SHA256()
    return own.sign(authority, sha256), root.sign(authority, sha256)


def _certificate_of(
    subject: Name, issuer: Name, key: EllipticCurvePublicKey
) -> CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)  # clocks differ
        .not_valid_after(now + _VALID_YEARS * 365 * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(common: str, organization: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _key_usage(*allowed: str) -> KeyUsage:
    from cryptography import x509

    uses = (
        *("digital_signature", "content_commitment", "key_encipherment"),
        *("data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
        *("encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{use: use in allowed for use in uses})
