"""Installs Supabase Lite in the user's cache folder, with pinned dependencies."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from imagen_nb.cloud.local.node import Node
from imagen_nb.errors import CloudError
from imagen_nb.system.paths import cache_folder

LITE_VERSION = "0.10.0"  # of @supabase/lite, as in package-lock.json
TEMPLATE_FOLDER = "database"  # where installed: an empty PGlite database, to copy

_MODULE_FOLDER = Path(__file__).parent
_COMMAND_TIMEOUT_S = 900  # for a slow network
_NPM_CI_ARGUMENTS = (
    "ci",
    "--omit=dev",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=error",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=1000",
)


def ensure_installed(node: Node, tell: Callable[[str], None]) -> Path:
    """Return the folder with Supabase Lite in it, after downloading it if need be.

    It is whole or not there at all, however many processes ask at once. `tell` is
    called before a download. Raise CloudError if npm cannot download it.
    """
    folder = cache_folder() / f"supabase-lite-{LITE_VERSION}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{folder.name}.lock"):
        if not folder.is_dir():  # another process may have made it while we waited
            tell(f"downloading Supabase Lite {LITE_VERSION} from npm, once")
            _install(node, folder)
    return folder


def _install(node: Node, folder: Path) -> None:
    with TemporaryDirectory(dir=folder.parent, prefix=".supabase-lite-") as temporary:
        root = Path(temporary) / "made"
        root.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_MODULE_FOLDER / name, root)
        _run_command([*node.npm, *_NPM_CI_ARGUMENTS], root, _explain_npm_error)
        script, template = _MODULE_FOLDER / "template.mjs", root / TEMPLATE_FOLDER
        command = [node.node, str(script), str(root), str(template)]
        _run_command(command, root, _explain_pglite_error)
        root.rename(folder)


def _run_command(
    command: Sequence[str], folder: Path, explain: Callable[[str], str]
) -> None:
    """Run it. Raise CloudError with what `explain` makes of its output if it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CloudError(explain(str(error))) from None
    if done.returncode != 0:
        output = (done.stderr or done.stdout).decode(errors="replace")
        raise CloudError(explain(" ".join(output.split())))


def _explain_npm_error(output: str) -> str:
    code = re.search(r"\b(E[A-Z_]{3,})\b", output)
    reason = code[1] if code else output[:200]
    return (
        f"npm cannot download Supabase Lite ({reason}), which is needed once: connect "
        "to the network (npm_config_registry names a mirror), and start again"
    )


def _explain_pglite_error(output: str) -> str:
    return f"PGlite does not run here: {output[-200:]}"
