"""The widgets' JavaScript and CSS: files beside this one, sent to the browser as one."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export const (\w+)", re.MULTILINE)


def script(*names: str) -> str:
    """These ES modules as one, each after those that it imports; the last is the widget's own.

    A widget is one module, which has no place that it could import others from. So all but the last
    become functions that give what they export.
    """
    *parts, last = (
        (_FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in names
    )
    made = [_inside(name, part) for name, part in zip(names, parts, strict=False)]
    return "\n".join([*made, _linked(last)])


def style(*names: str) -> str:
    """These style sheets as one."""
    return "\n".join(
        (_FOLDER / f"{name}.css").read_text(encoding="utf-8") for name in names
    )


def _inside(name: str, module: str) -> str:
    given = ", ".join(_EXPORT.findall(module))
    body = _EXPORT.sub(r"const \1", _linked(module))
    return f"const ${name} = (() => {{\n{body}\nreturn {{ {given} }};\n}})();"


def _linked(module: str) -> str:
    return _IMPORT.sub(r"const \1 = $\2;", module)
