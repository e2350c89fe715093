"""Supabase Lite in the user's cache folder: the tried version of it and of all it stands on."""

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

LITE_VERSION = (
    "0.10.0"  # of @supabase/lite; package-lock.json names it and the rest, with hashes
)
TEMPLATE_FOLDER = (
    "database"  # in the installed folder: an empty PGlite database, to be copied
)

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
    """The folder with Supabase Lite in it, downloaded first when it is not there.

    Whole or not there at all, however many processes ask at once. Raises `CloudError`.
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
        made = Path(temporary) / "made"
        made.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_MODULE_FOLDER / name, made)
        _run_command([*node.npm, *_NPM_CI_ARGUMENTS], made, _explain_npm_error)
        template = [
            node.node,
            str(_MODULE_FOLDER / "template.mjs"),
            str(made),
            str(made / TEMPLATE_FOLDER),
        ]
        _run_command(
            template, made, lambda said: f"PGlite does not run here: {said[-200:]}"
        )
        made.rename(folder)


def _run_command(
    command: Sequence[str], folder: Path, trouble: Callable[[str], str]
) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CloudError(trouble(str(error))) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")
        raise CloudError(trouble(" ".join(said.split())))


def _explain_npm_error(said: str) -> str:
    code = re.search(r"\b(E[A-Z_]{3,})\b", said)
    return (
        f"npm cannot download Supabase Lite ({code[1] if code else said[:200]}), which is needed "
        "once: connect to the network (npm_config_registry names a mirror), and start again"
    )
