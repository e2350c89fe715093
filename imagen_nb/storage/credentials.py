"""Signs PNG files with content credentials, the statements of C2PA on how a file was made."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb._version import __version__
from imagen_nb.config.certificate import MISSING_C2PA
from imagen_nb.errors import ConfigError, ImagenError, StorageError, UsageError
from imagen_nb.storage.png import digital_source_type, encode_png
from imagen_nb.storage.record import SIGNED, UNSIGNED, Record
from imagen_nb.system.paths import absolute_path
from imagen_nb.system.terminal import print_notice

if TYPE_CHECKING:
    from c2pa import Signer
    from cryptography.x509 import Certificate

    from imagen_nb.config.groups import ProvenanceSettings

_MAX_PEM_BYTES = 2**20
_ALGORITHM_OF_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
OFFLINE: dict[str, dict[str, Any]] = {  # for c2pa: nothing is looked up on the network
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"allowed_network_hosts": []},
}
PROMPT_PARAMETER = "imagen_nb.prompt"
_SETTINGS: dict[str, Any] = {
    "verify": {**OFFLINE["verify"], "verify_after_sign": True},
    "core": OFFLINE["core"],
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True, slots=True, repr=False)
class _Identity:
    """Who signs: the chain and the key in PEM, and the algorithm of the key."""

    chain: bytes
    key: bytes
    algorithm: str


class PictureSigner:
    """Signs pictures with the configured certificate. Its repr shows no secret.

    Files are read when they are first needed. Nothing of the library outlives a
    picture, so a forked child can use it, too.
    """

    def __init__(self, settings: ProvenanceSettings) -> None:
        """`settings`: name the files, and say whether the prompt is quoted."""
        self._settings = settings
        self._identity: _Identity | None = None
        self._told = False

    def require_ready(self) -> None:
        """Raise `ConfigError` if no picture could be signed, before it is drawn."""
        self._ready_identity()

    def _ready_identity(self) -> _Identity:
        if self._identity is None:
            self._identity = _load_identity(self._settings)
        return self._identity

    def sign(self, png: bytes, record: Record) -> tuple[bytes, Record]:
        """Return the file with content credentials, and its record, which says so.

        A picture is worth more than its signature: what cannot be signed comes back as
        it is, its record says so, and a line on stderr why, once in a session.
        """
        try:
            identity = self._ready_identity()
            manifest = _manifest(record, quotes_prompt=self._settings.prompt)
            signed = _signed(png, manifest, identity)
        except ImagenError as error:
            self._tell(str(error))
            return png, record.model_copy(update={"content_credentials": UNSIGNED})
        return signed, record.model_copy(update={"content_credentials": SIGNED})

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            print_notice(f"pictures are kept without a signature: {reason}")


def signer_of(settings: ProvenanceSettings) -> PictureSigner | None:
    """Return what signs pictures, or None where they shall not be signed."""
    return PictureSigner(settings) if settings.c2pa else None


def with_credentials_wanted(record: Record, signer: PictureSigner | None) -> Record:
    """Return the record of a picture as it is if signing succeeds."""
    wanted = SIGNED if signer else None
    return record.model_copy(update={"content_credentials": wanted})


def is_signed_as(found: Record, record: Record) -> bool:
    """Return whether a picture that is there is signed as a new one would be."""
    return record.content_credentials in (None, found.content_credentials)


def _manifest(record: Record, *, quotes_prompt: bool) -> dict[str, Any]:
    """Return what is stated: a model made it, which one, when, with what program."""
    agent = {"name": record.model or record.backend}
    created: dict[str, Any] = {
        "action": "c2pa.created",
        "when": record.created_at.isoformat(timespec="seconds"),
        "softwareAgent": agent,
        "digitalSourceType": digital_source_type(record),
        "parameters": {
            "imagen_nb.id": str(record.id),
            "imagen_nb.backend": record.backend,
        },
    }
    if quotes_prompt:
        created["parameters"][PROMPT_PARAMETER] = record.prompt
    return {
        "claim_generator_info": [{"name": "imagen_nb", "version": __version__}],
        "format": "image/png",
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "created": True,  # stated by the signer, not found in the picture
                "data": {"actions": [created]},
            },
        ],
    }


def _signed(png: bytes, manifest: dict[str, Any], identity: _Identity) -> bytes:
    """Return the PNG with the manifest in it. Raises `StorageError` if it cannot be."""
    from c2pa import Builder, C2paError, Context

    signed = io.BytesIO()
    try:
        with (
            Context.from_dict(_SETTINGS) as context,
            _make_signer(identity) as signer,
            Builder(manifest, context) as builder,
        ):
            builder.sign(signer, "image/png", io.BytesIO(png), signed)
    except (C2paError, OSError, ValueError) as error:
        raise StorageError(f"c2pa cannot sign: {explain_c2pa_error(error)}") from None
    return signed.getvalue()


def _make_signer(identity: _Identity) -> Signer:
    from c2pa import C2paSignerInfo, C2paSigningAlg, Signer

    algorithm = C2paSigningAlg[identity.algorithm]
    info = C2paSignerInfo(algorithm, identity.chain, identity.key, None)
    return Signer.from_info(info)


def _load_identity(settings: ProvenanceSettings) -> _Identity:
    """Read certificate and key. Raise `ConfigError` if they cannot sign together."""
    try:
        import c2pa  # noqa: F401 - it loads a large library: here, before drawing
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from cryptography.x509 import load_pem_x509_certificates
    except ImportError:
        raise UsageError(MISSING_C2PA) from None
    chain = _read_pem("certificate", settings.certificate)
    key = _read_pem("private_key", settings.private_key)
    try:
        certificate = load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise _unusable("certificate", "has no certificate in PEM") from None
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: a password
        reason = "has no private key in PEM that is used without a password"
        raise _unusable("private_key", reason) from None
    if private.public_key() != certificate.public_key():
        raise _unusable("private_key", "is not the key of the certificate")
    _require_in_force(certificate)
    identity = _Identity(chain, key, _algorithm_of(private))
    _try_out(identity)
    return identity


def _try_out(identity: _Identity) -> None:
    """Raise `ConfigError` if c2pa does not take the certificate: it wants a profile."""
    from PIL import Image

    record = Record(prompt="", backend="none", seed=None, steps=0, width=1, height=1)
    smallest = encode_png(Image.new("RGB", (1, 1)), record)
    try:
        _signed(smallest, _manifest(record, quotes_prompt=False), identity)
    except StorageError as error:
        raise _unusable("certificate", f"is not taken: {error}") from None


def _read_pem(name: str, path: Path | None) -> bytes:
    """Return what is in the file of a setting. Raise `ConfigError` if it cannot be read."""
    if path is None:
        raise _unusable(name, "is not set")
    try:
        with absolute_path(path).open("rb") as file:
            return file.read(_MAX_PEM_BYTES)
    except (OSError, UsageError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        raise _unusable(name, f"cannot be read: {path}: {reason}") from None


def _unusable(name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"provenance.{name} {reason}; `imagen config provenance` makes a key and a"
        " certificate, and provenance.c2pa: false signs no pictures"
    )


def _require_in_force(certificate: Certificate) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        day = certificate.not_valid_after_utc.date()
        raise _unusable("certificate", f"expired on {day}")
    if certificate.not_valid_before_utc > now:
        day = certificate.not_valid_before_utc.date()
        raise _unusable("certificate", f"begins on {day}")


def _algorithm_of(key: object) -> str:
    """Return the name that C2PA has for how this key signs."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ED25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "PS256"
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else ""
    if curve not in _ALGORITHM_OF_CURVE:
        raise _unusable("private_key", "is of a kind with which C2PA does not sign")
    return _ALGORITHM_OF_CURVE[curve]


def explain_c2pa_error(error: Exception) -> str:
    """Return what an error of c2pa's says, in one short line."""
    return " ".join(str(error).split())[:300]
