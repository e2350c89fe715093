"""The widgets' JavaScript and CSS: files beside this one, sent to browsers as one."""

from __future__ import annotations

import re
from pathlib import Path

_SCRIPT_FOLDER = Path(__file__).parent
_JS_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z]+)\.js";$', re.MULTILINE)
_JS_EXPORT = re.compile(r"^export const (\w+)", re.MULTILINE)


def script(*names: str) -> str:
    """Return these ES modules as one, each after those that it imports.

    A widget is one module, which has no place that it could import others from. So all
    but the last, which is the widget's own, become functions that return what they
    export.

    Example:
        >>> script("dom", "comparison", "compare")
    """
    *parts, last = (
        (_SCRIPT_FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in names
    )
    functions = [
        _module_as_function(name, part)
        for name, part in zip(names, parts, strict=False)
    ]
    return "\n".join([*functions, _with_linked_imports(last)])


def style(*names: str) -> str:
    """Return these style sheets as one."""
    return "\n".join(
        (_SCRIPT_FOLDER / f"{name}.css").read_text(encoding="utf-8") for name in names
    )


def _module_as_function(name: str, module: str) -> str:
    exports = ", ".join(_JS_EXPORT.findall(module))
    body = _JS_EXPORT.sub(r"const \1", _with_linked_imports(module))
    return f"const ${name} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def _with_linked_imports(module: str) -> str:
    return _JS_IMPORT.sub(r"const \1 = $\2;", module)
