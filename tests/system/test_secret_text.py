"""Secrets lose the white space of files when they are read, and show in no text of a library."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from imagen_nb.cloud.database_url import explain_connection_error
from imagen_nb.system.secret_text import bare, scrubbed

ODD = "sb_secret_a'b\"c\\d/é&f\\\\g\rh i%41"
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr of text": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "repr of repr of bytes": lambda text: repr([repr(text.encode())]),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON with its letters": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "a path of a URL": quote,
    "a part of a URL": lambda text: quote(text, safe=""),
    "a form": quote_plus,
    "lower case escapes": lambda text: quote(text, safe="").replace("%2F", "%2f"),
    "HTML": html.escape,
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("around", ["", "\n", "\r\n"])
def test_a_secret_is_taken_out_however_it_is_written(
    written: Callable[[str], str], around: str
) -> None:
    said = f"Illegal header value {written(ODD + around)}, and more"
    clean = scrubbed(said, [None, SecretStr(ODD + around)])
    assert "…" in clean
    assert "secret" not in clean
    assert clean.startswith("Illegal header value ")
    assert clean.endswith(", and more")
    assert len(clean) < 50


@given(st.text(st.characters(exclude_characters="…xX&;#%")), st.sampled_from([*WRITTEN.values()]))
def test_any_text_can_be_taken_out(secret: str, written: Callable[[str], str]) -> None:
    try:
        said = written(secret)
    except UnicodeEncodeError:  # half a surrogate pair, in what is no UTF-8
        return
    clean = scrubbed(f"x{said}x", [SecretStr(secret)])
    assert not secret.strip() or "…" in clean


def test_a_secret_within_another_leaves_nothing_of_it() -> None:
    assert scrubbed("key abcdef", [SecretStr("abc"), SecretStr("abcdef")]) == "key …"


def test_no_secret_changes_nothing() -> None:
    assert scrubbed("said so", [None, SecretStr(""), SecretStr("\n")]) == "said so"


def test_a_row_of_backslashes_takes_no_time() -> None:
    began = time.monotonic()
    scrubbed("\\" * 5000, [SecretStr("\\" * 50 + "a")])
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", ["k", " k", "k\n", "k\r\n", "\tk \x85"])
def test_white_space_around_a_secret_is_no_part_of_it(text: str) -> None:
    assert bare(text) == "k"


@pytest.mark.parametrize("letter", ["\n", "\r", "\r\n", "\t", "\0", "\x1b", "\x7f", "\x85"])
def test_a_control_character_inside_is_refused_without_quoting_it(letter: str) -> None:
    with pytest.raises(ValueError, match=r"^a control character$"):
        bare(f"sb{letter}secret")


def test_what_libpq_says_shows_no_password_in_a_url() -> None:
    url = "postgresql://me:a%2Fb%40secret@127.0.0.1/x"
    said = explain_connection_error(f'invalid URI "{url}"', {"password": "a/b@secret"})
    assert said == 'the database cannot be reached: invalid URI "postgresql://me:…@127.0.0.1/x"'
