"""Settings of IPython that a notebook may change, its namespace and history."""

from __future__ import annotations

import functools
from typing import Any

from IPython.core.getipython import get_ipython

from imagen_nb.batch.warm.clean.noted import NotedMappings
from imagen_nb.batch.warm.clean.rows import Setting, note_nothing


def _ipython() -> Any:
    return get_ipython()


def user_namespace() -> dict[str, Any]:
    """Return the dictionary in which notebooks run, for the kernel's whole life."""
    names: dict[str, Any] = _ipython().user_ns
    return names


def _restore_namespace(fresh: dict[str, Any]) -> None:
    """Restore what start-up files made; history, outputs and count are reset."""
    shell = _ipython()
    shell.reset(new_session=True)
    always = ("__name__", "__builtins__", "__builtin__")
    for name, value in fresh.items():
        if name in always or name not in shell.user_ns:
            shell.user_ns[name] = shell.user_ns_hidden[name] = value


def _forget_last_error(_: None) -> None:
    """Drop its traceback, which holds the notebook's frames and all that is in them."""
    shell = _ipython()
    shell.set_custom_exc((), None)
    shell._last_traceback = None
    shell.displayhook.exec_result = None
    attributes = {"tb", "etype", "evalue", "last_syntax_error"}
    for formatter in (shell.InteractiveTB, shell.SyntaxTB):
        for name in attributes & formatter.__dict__.keys():
            setattr(formatter, name, None)


def _loaded_magics() -> set[str]:
    """Return which magics were loaded when first used; IPython loads each once."""
    loaded: set[str] = getattr(_ipython().magics_manager, "_loaded_lazy", set())
    return loaded


def _forget_loaded_magics(fresh: frozenset[str]) -> None:
    _loaded_magics().intersection_update(fresh)


def _configurables() -> list[Any]:
    shell = _ipython()
    return [
        shell,
        shell.display_formatter,
        *shell.display_formatter.formatters.values(),
    ]


def _shell_settings() -> list[dict[str, Any]]:
    return [one.trait_values(config=True) for one in _configurables()]


def _restore_shell_settings(settings: list[dict[str, Any]]) -> None:
    for one, noted in zip(_configurables(), settings, strict=True):
        now = one.trait_values(config=True)
        for name, value in noted.items():
            if now[name] is not value and now[name] != value:
                setattr(one, name, value)


def _loaded_extensions() -> frozenset[str]:
    return frozenset(_ipython().extension_manager.loaded)


def _unload_extensions(fresh: frozenset[str]) -> None:
    manager = _ipython().extension_manager
    for name in manager.loaded - fresh:
        manager.unload_extension(name)
        manager.loaded.discard(name)  # or it could not be loaded again


SHELL_SETTINGS = (
    Setting(
        "IPython's kind of traceback",
        lambda: _ipython().InteractiveTB.mode,
        lambda mode: _ipython().InteractiveTB.set_mode(mode),
    ),
    Setting("IPython's last error", note_nothing, _forget_last_error),
    Setting("IPython's extensions", _loaded_extensions, _unload_extensions),
    Setting(
        "IPython's magics",
        lambda: frozenset(_loaded_magics()),
        _forget_loaded_magics,
    ),
    Setting("IPython's settings", _shell_settings, _restore_shell_settings),
    Setting("IPython's namespace", lambda: dict(user_namespace()), _restore_namespace),
)


class ShellHooks:
    """Functions that IPython calls: magics, callbacks at events, formatters of types.

    Libraries set theirs when they are imported, once; all others are the notebook's.
    """

    def __init__(self) -> None:
        self._noted = NotedMappings()
        for number, callbacks in enumerate(_callback_lists()):
            self._noted.add(
                f"list {number}", functools.partial(dict.fromkeys, callbacks)
            )
        for number, table in enumerate(_hook_tables()):
            self._noted.add(f"table {number}", functools.partial(dict, table))

    def before_import(self) -> None:
        """Take note of the notebook's own."""
        self._noted.before_import()

    def after_import(self) -> None:
        """Keep what was added since `before_import`."""
        self._noted.after_import()

    def restore(self) -> None:
        """Remove the notebook's, and put back what it removed or replaced."""
        for number, callbacks in enumerate(_callback_lists()):
            callbacks[:] = self._noted.noted(f"list {number}")
        for number, table in enumerate(_hook_tables()):
            table.clear()
            table.update(self._noted.noted(f"table {number}"))


def _callback_lists() -> list[list[Any]]:
    manager = _ipython().input_transformer_manager
    return [
        *_ipython().events.callbacks.values(),
        manager.cleanup_transforms,
        manager.line_transforms,
        manager.token_transformers,
        _ipython().ast_transformers,
    ]


def _hook_tables() -> list[dict[Any, Any]]:
    magics = _ipython().magics_manager
    tables = [*magics.magics.values(), magics.registry, vars(magics.user_magics)]
    tables.append(magics.lazy_magics)
    for one in _ipython().display_formatter.formatters.values():
        tables += [one.singleton_printers, one.type_printers, one.deferred_printers]
    return tables
