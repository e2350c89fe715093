"""Writes docs/configuration.md and docs/columns.md from where keys and columns are defined.

python tools/reference_docs.py            write them
python tools/reference_docs.py --check    exit 1 when one of them is stale
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from imagen_nb.backends.flux.memory.keys import MEMORY_KEYS
from imagen_nb.config.settings import (
    EXPECTED,
    Settings,
    environment_name,
    setting_keys,
)
from imagen_nb.config.yaml_file import YAML_TEMPLATE
from imagen_nb.frames.schema import HISTORY_COLUMNS, empty_table, history_frame
from imagen_nb.storage.record import Record

ROOT = Path(__file__).parent.parent
_TABLE = ROOT / "sql" / "20261123120000_imagen_images.sql"
_BRACKETS = re.compile(r" ?\[\$[^\]]+\]")  # of the template: variables named otherwise

# What is no field of a record, and so has no description there.
_COLUMNS_BESIDE = {
    "sidecar": "The whole record, as above; in a history only with `sidecar=True`.",
    "local_path": "The file on this machine; missing where there is none.",
    "cloud": "pending, synced, off, or `failed: ` and the reason.",
}

CONFIGURATION_HEAD = """# Configuration

Written by `python tools/reference_docs.py` from the settings themselves; do not edit.

Every key is optional. An argument of a call wins over the environment variable, that over the
file, that over the default. The file is `~/.config/imagen.yaml`, another one with
`$IMAGEN_CONFIG` or `--config`; `imagen config init` writes it with comments,
`imagen config validate` names what is wrong in it, line by line, and `imagen status` shows each
key in force and where it came from. What is empty counts as not given.

In Python the keys are arguments of `im.configure`, groups as mappings:
`im.configure(steps=4, output={"dir": "~/pictures"})`.
"""

COLUMNS_HEAD = """# Sidecar, table and history

Written by `python tools/reference_docs.py` from where they are defined; do not edit. Why each of
them is recorded: [recorded.md](recorded.md); what of it stays as it is:
[stability.md](stability.md).
"""

SIDECAR_HEAD = """## The sidecar

`<name>.png.json` beside `<name>.png`: JSON in UTF-8, a key a line. The same record is in the PNG,
as the text chunk `imagen_nb`, with `null` for what is known of the file only; `unsent_tags` is in
the sidecar alone. The PNG's chunk `parameters` has prompt and settings in the form that
stable-diffusion-webui writes.
"""

HISTORY_HEAD = """## The table and the history

`imagen.images` in your Supabase has a row for each picture, `im.history()` the same columns and
two more. `sql/` has the whole table, with its rights. The PNG is in the bucket `imagen-generated`
under `storage_path`; `imagen.claims` keeps each of these paths for one picture, and is read by
nobody else.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The rows as Markdown."""
    lines = [head, ["---" for _ in head], *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def template_comments() -> dict[str, str]:
    """What the template of imagen.yaml says above each key, e.g. of output.dir."""
    found: dict[str, str] = {}
    keys = {*setting_keys()}
    group, comment, is_open = "", "", False
    for line in YAML_TEMPLATE.splitlines():
        text = line.strip()
        if text.startswith("# "):
            comment = f"{comment} {text[2:].strip()}" if is_open else text[2:].strip()
        elif match := re.match(r"#?(\w+):", text):
            key = f"{group if line.startswith(' ') else ''}{match[1]}"
            if key in keys:
                found[key] = _BRACKETS.sub("", comment)
            else:
                group, comment = f"{key}.", ""
        is_open = text.startswith("# ")
    return found


def configuration() -> str:
    """The whole of docs/configuration.md."""
    comments = template_comments()
    comments |= {f"memory.{name}": key.does for name, key in MEMORY_KEYS.items()}
    rows: dict[str, list[tuple[str, ...]]] = {}
    for key in setting_keys():
        takes, default = EXPECTED.get(key, "text"), _default(key)
        variable = f"`${environment_name(key)}`"
        row = (f"`{key}`", comments[key], takes, default, variable)
        rows.setdefault(key.rpartition(".")[0], []).append(row)
    head = ("Key", "What it does", "Takes", "Unless given", "Variable")
    parts = [CONFIGURATION_HEAD]
    for group, lines in rows.items():
        title = f"`{group}`" if group else "Keys of their own"
        parts.append(f"## {title}\n\n{table(head, lines)}")
    parts.append(
        f"## The file\n\nAs `imagen config init` writes it:\n\n```yaml\n{YAML_TEMPLATE}```\n"
    )
    return "\n".join(parts)


def _default(key: str) -> str:
    value: Any = Settings()
    for part in key.split("."):
        value = getattr(value, part)
    if value is None or isinstance(value, SecretStr) or value in ((), {}):
        return ""
    return f"`{value}`"


def columns() -> str:
    """The whole of docs/columns.md."""
    parts = (
        COLUMNS_HEAD,
        SIDECAR_HEAD,
        table(("Key", "JSON", "What it is"), _sidecar_rows()),
        HISTORY_HEAD,
        table(("Column", "PostgreSQL", "In a DataFrame", "What it is"), _column_rows()),
    )
    return "\n".join(parts)


def _sidecar_rows() -> Iterator[tuple[str, str, str]]:
    schema = Record.model_json_schema(mode="serialization")
    for name, field in schema["properties"].items():
        yield f"`{name}`", _json_type(field), _description(name)


def _json_type(field: dict[str, Any]) -> str:
    """A field of a JSON schema in words, e.g. "integer or null"."""
    if "anyOf" in field:
        return " or ".join(map(_json_type, field["anyOf"]))
    name = str(field.get("format") or field.get("type") or "object")
    known = {"uuid": "text, a UUID", "date-time": "text, ISO 8601", "string": "text"}
    return known.get(name, name)


def _description(name: str) -> str:
    """What a field of the record is, from where it is defined."""
    if name in Record.model_computed_fields:
        text = Record.model_computed_fields[name].description or ""
    else:
        text = _field_docstrings().get(name, "")
    if not text:
        raise SystemExit(
            f"Record.{name} has no description: write a docstring below it"
        )
    return " ".join(text.split())


@functools.cache
def _field_docstrings() -> dict[str, str]:
    """The text below each field of the record.

    pydantic could read them too (`use_attribute_docstrings`), at each start of the program.
    """
    (kind,) = ast.parse(inspect.getsource(Record)).body
    assert isinstance(kind, ast.ClassDef)
    found = {}
    for field, below in itertools.pairwise(kind.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = ast.literal_eval(below.value)
    return found


def _column_rows() -> Iterator[tuple[str, ...]]:
    sql = dict(re.findall(r"^  (\w+) ([A-Z]+\S*)", _TABLE.read_text(), re.MULTILINE))
    frame = history_frame(empty_table())
    for name in HISTORY_COLUMNS:
        text = _COLUMNS_BESIDE.get(name) or _description(name)
        kind = {"tags": "lists of str", "sidecar": "dicts, or None"}.get(name)
        kind = kind or str(frame[name].dtype)
        yield f"`{name}`", sql.get(name, "").rstrip(","), kind, text


PAGES = {"configuration.md": configuration, "columns.md": columns}


def main() -> int:
    """Write the pages, or say which are stale."""
    stale = 0
    for name, made in PAGES.items():
        file = ROOT / "docs" / name
        text = made()
        if "--check" not in sys.argv[1:]:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            print(
                f"{name} is stale: run python tools/reference_docs.py", file=sys.stderr
            )
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
