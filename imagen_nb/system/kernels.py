"""Jupyter kernels: whether one is installed on this machine, and what it runs."""

from __future__ import annotations

import shutil
import sys

_OWN_PYTHON = {
    "python",
    f"python{sys.version_info.major}",
    f"python{sys.version_info.major}.{sys.version_info.minor}",
}  # in place of which Jupyter starts the Python that it runs in itself


def find_kernel(name: str) -> str | None:
    """Return the program that a kernel starts; None where it is not installed.

    Example:
        >>> find_kernel("python3")
        '/home/ada/.venv/bin/python'
    """
    from jupyter_client.kernelspec import NoSuchKernel, get_kernel_spec

    try:
        command: list[str] = get_kernel_spec(name).argv
    except NoSuchKernel:
        return None
    program = command[0] if command else ""
    return sys.executable if program in _OWN_PYTHON else program


def is_program(path: str) -> bool:
    """Return whether this can be started: a path, or a name that is on PATH."""
    return shutil.which(path) is not None


def explain_missing_kernel(name: str) -> str:
    """Return what to do where no kernel of this name is installed."""
    from jupyter_client.kernelspec import NATIVE_KERNEL_NAME

    if name == NATIVE_KERNEL_NAME:
        return "pip install ipykernel"
    return "`jupyter kernelspec list` shows those there are: choose one in JupyterLab"
