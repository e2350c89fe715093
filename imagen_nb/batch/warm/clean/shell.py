"""Settings of IPython that a notebook may change, its namespace and history."""

from __future__ import annotations

from typing import Any

from IPython.core.getipython import get_ipython

from imagen_nb.batch.warm.clean.modules import OwnCheck
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


def _user_magics() -> dict[str, Any]:
    """Return where IPython keeps functions as magics, besides `ShellHooks`."""
    kept: dict[str, Any] = vars(_ipython().magics_manager.user_magics)
    return kept


def _remove_user_magics(fresh: frozenset[str]) -> None:
    for name in _user_magics().keys() - fresh:
        del _user_magics()[name]


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


def _transformer_lists() -> list[list[Any]]:
    manager = _ipython().input_transformer_manager
    return [
        manager.cleanup_transforms,
        manager.line_transforms,
        manager.token_transformers,
        _ipython().ast_transformers,
    ]


def _restore_transformers(fresh: list[list[Any]]) -> None:
    for now, noted in zip(_transformer_lists(), fresh, strict=True):
        now[:] = noted


SHELL_SETTINGS = (
    Setting(
        "IPython's kind of traceback",
        lambda: _ipython().InteractiveTB.mode,
        lambda mode: _ipython().InteractiveTB.set_mode(mode),
    ),
    Setting("IPython's last error", note_nothing, _forget_last_error),
    Setting("IPython's extensions", _loaded_extensions, _unload_extensions),
    Setting("IPython's magics", lambda: frozenset(_user_magics()), _remove_user_magics),
    Setting("IPython's settings", _shell_settings, _restore_shell_settings),
    Setting(
        "IPython's transformers",
        lambda: [[*one] for one in _transformer_lists()],
        _restore_transformers,
    ),
    Setting("IPython's namespace", lambda: dict(user_namespace()), _restore_namespace),
)


class ShellHooks:
    """Functions that IPython calls, as they are when this is made.

    Those are magics, callbacks at events, and formatters of types. Libraries set theirs
    when they are imported, once; a notebook's own are removed.
    """

    def __init__(self) -> None:
        self._lists = [[*one] for one in _callback_lists()]
        self._tables = [dict(one) for one in _hook_tables()]

    def restore(self, is_own: OwnCheck) -> None:
        """Remove the notebook's, and put back what it removed or replaced."""
        for now, noted in zip(_callback_lists(), self._lists, strict=True):
            others = [one for one in now if one not in noted and not is_own(one)]
            now[:] = [*noted, *others]
        for table, known in zip(_hook_tables(), self._tables, strict=True):
            own = [key for key, hook in table.items() if is_own(hook) or is_own(key)]
            for key in own:
                del table[key]
            for key, hook in known.items():
                table.setdefault(key, hook)


def _callback_lists() -> list[list[Any]]:
    return [*_ipython().events.callbacks.values()]


def _hook_tables() -> list[dict[Any, Any]]:
    tables = [*_ipython().magics_manager.magics.values()]
    for one in _ipython().display_formatter.formatters.values():
        tables += [one.singleton_printers, one.type_printers, one.deferred_printers]
    return tables
