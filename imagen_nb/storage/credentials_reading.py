"""Reads content credentials (C2PA) out of pictures, ours and others'; nothing is fetched."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagen_nb.config.certificate import MISSING_C2PA
from imagen_nb.errors import StorageError, UsageError, printable
from imagen_nb.storage.credentials import OFFLINE, PROMPT_PARAMETER, explain_c2pa_error
from imagen_nb.storage.media_types import media_type_of

_UNTRUSTED = "signingCredential.untrusted"
_MAX_STATED_CHARS = 200  # of a stranger's statement
_MAX_AUTHORITIES_BYTES = 2**24  # C2PA's own list has some 50 kB


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a picture's content credentials state, and whether that holds.

    Attributes:
        problems: codes of C2PA for what does not hold: empty if the file is the one
            that was signed, by whom it says.
        trusted: whether an authority that is trusted here vouches for the signer.
        signer: as the certificate names them; "" if it does not.
        generator: the program that made the statement, with its version.
        model: what drew it.
        source_type: IPTC's word for how it came about, like trainedAlgorithmicMedia.
        when: when it was made, as it is stated.
        prompt: what is quoted of the prompt; None if it is not.
    """

    problems: tuple[str, ...] = ()
    trusted: bool = False
    signer: str = ""
    generator: str = ""
    model: str = ""
    source_type: str = ""
    when: str = ""
    prompt: str | None = None

    def __str__(self) -> str:
        signer = self.signer or "somebody without a name"
        trust = "vouched for by" if self.trusted else "not by"
        facts = (self.source_type, self.model, self.generator, self.when)
        stated = ", ".join(fact for fact in facts if fact)
        return f"signed by {signer}, {trust} a trusted authority: {stated}"


def load_authorities(path: Path) -> str:
    """Return the certificates, in PEM, of those who may vouch for a signer.

    Raises `UsageError` if the file cannot be read, or has none.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_AUTHORITIES_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"{path} has no certificate in PEM")
    return text


def read_credentials(data: bytes, authorities: str = "") -> Credentials | None:
    """Return what the content credentials of a PNG, JPEG or WebP state.

    None if there are none. `authorities`: see `load_authorities`; without, nobody is
    trusted. Raises `UsageError` if the extra `c2pa` is not installed, and
    `StorageError` if they cannot be read.
    """
    try:
        from c2pa import C2paError, Context, Reader
    except ImportError:
        raise UsageError(MISSING_C2PA) from None
    media_type = media_type_of(data)
    if media_type is None:
        return None
    try:
        with Context.from_dict(OFFLINE | _trusting(authorities)) as context:
            reader = Reader.try_create(media_type, io.BytesIO(data), context=context)
            if reader is None:
                return None
            with reader:
                return _parsed(reader.json())
    except C2paError as error:
        raise StorageError(
            f"content credentials that cannot be read: {explain_c2pa_error(error)}"
        ) from None


def _trusting(authorities: str) -> dict[str, Any]:
    return {"trust": {"trust_anchors": authorities}} if authorities else {}


def _parsed(text: str) -> Credentials:
    """Return what C2PA's library says of a file; what it quotes is a stranger's."""
    store = json.loads(text)
    manifests = _mapping(store.get("manifests"))
    manifest = _mapping(manifests.get(store.get("active_manifest")))
    signature = _mapping(manifest.get("signature_info"))
    created = _created_action(manifest)
    parameters = _mapping(created.get("parameters"))
    generator = next(_mappings(manifest.get("claim_generator_info")), {})
    return Credentials(
        problems=_problems(store),
        trusted=store.get("validation_state") == "Trusted",
        signer=_stated_text(signature.get("common_name"))
        or _stated_text(signature.get("issuer")),
        generator=_agent_name(generator),
        model=_agent_name(created.get("softwareAgent")),
        source_type=_stated_text(created.get("digitalSourceType")).rpartition("/")[2],
        when=_stated_text(created.get("when")),
        prompt=_stated_text(parameters.get(PROMPT_PARAMETER)) or None,
    )


def _problems(store: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the codes of what does not hold; an unknown signer is no problem."""
    codes = {
        _stated_text(one.get("code"))
        for one in _mappings(store.get("validation_status"))
    }
    found = tuple(sorted(codes - {_UNTRUSTED}))
    holds = store.get("validation_state") in ("Valid", "Trusted")
    return found if found or holds else ("invalid",)


def _created_action(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first action, with which C2PA wants a file's history to begin."""
    for assertion in _mappings(manifest.get("assertions")):
        if _stated_text(assertion.get("label")).startswith("c2pa.actions"):
            actions = _mapping(assertion.get("data")).get("actions")
            return next(_mappings(actions), {})
    return {}


def _agent_name(agent: Any) -> str:
    """Return the name and version of a program, which may be a mapping or a text."""
    if not isinstance(agent, Mapping):
        return _stated_text(agent)
    return f"{_stated_text(agent.get('name'))} {_stated_text(agent.get('version'))}".strip()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, Mapping))


def _stated_text(value: Any) -> str:
    return printable(value[:_MAX_STATED_CHARS]) if isinstance(value, str) else ""
