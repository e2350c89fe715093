"""What belongs to IPython: the namespace, the history, and what else a notebook changes of it."""

from __future__ import annotations

from typing import Any

from IPython.core.getipython import get_ipython

from imagen_nb.batch.warm.clean.modules import Own
from imagen_nb.batch.warm.clean.rows import Row, nothing


def _shell() -> Any:
    return get_ipython()


def namespace() -> dict[str, Any]:
    """What notebooks run in: one dictionary for the kernel's whole life."""
    names: dict[str, Any] = _shell().user_ns
    return names


def _namespace_again(fresh: dict[str, Any]) -> None:
    """Also the history, the outputs and the count of cells; what start-up files made is back."""
    shell = _shell()
    shell.reset(new_session=True)
    for name, value in fresh.items():
        if (
            name in ("__name__", "__builtins__", "__builtin__")
            or name not in shell.user_ns
        ):
            shell.user_ns[name] = shell.user_ns_hidden[name] = value


def _forget_the_last_error(_: None) -> None:
    """Its traceback holds the frames of the notebook, and with them all that was in them."""
    shell = _shell()
    shell.set_custom_exc((), None)
    shell._last_traceback = None
    shell.displayhook.exec_result = None
    for one in (shell.InteractiveTB, shell.SyntaxTB):
        for name in {
            "tb",
            "etype",
            "evalue",
            "last_syntax_error",
        } & one.__dict__.keys():
            setattr(one, name, None)


def _user_magics() -> dict[str, Any]:
    """Where magics that are functions are kept besides the tables of `Hooks`."""
    kept: dict[str, Any] = vars(_shell().magics_manager.user_magics)
    return kept


def _user_magics_again(fresh: frozenset[str]) -> None:
    for name in _user_magics().keys() - fresh:
        del _user_magics()[name]


def _configurables() -> list[Any]:
    shell = _shell()
    return [
        shell,
        shell.display_formatter,
        *shell.display_formatter.formatters.values(),
    ]


def _settings() -> list[dict[str, Any]]:
    return [one.trait_values(config=True) for one in _configurables()]


def _set_again(settings: list[dict[str, Any]]) -> None:
    for one, noted in zip(_configurables(), settings, strict=True):
        now = one.trait_values(config=True)
        for name, value in noted.items():
            if now[name] is not value and now[name] != value:
                setattr(one, name, value)


def _extensions() -> frozenset[str]:
    return frozenset(_shell().extension_manager.loaded)


def _unload(fresh: frozenset[str]) -> None:
    manager = _shell().extension_manager
    for name in manager.loaded - fresh:
        manager.unload_extension(name)
        manager.loaded.discard(name)  # one that cannot be unloaded can be loaded again


def _transformers() -> list[list[Any]]:
    manager = _shell().input_transformer_manager
    return [manager.cleanup_transforms, manager.line_transforms, manager.token_transformers,
            _shell().ast_transformers]  # fmt: skip


def _transform_again(fresh: list[list[Any]]) -> None:
    for now, noted in zip(_transformers(), fresh, strict=True):
        now[:] = noted


TABLE = (
    Row(
        "IPython's kind of traceback",
        lambda: _shell().InteractiveTB.mode,
        lambda mode: _shell().InteractiveTB.set_mode(mode),
    ),
    Row("IPython's last error", nothing, _forget_the_last_error),
    Row("IPython's extensions", _extensions, _unload),
    Row("IPython's magics", lambda: frozenset(_user_magics()), _user_magics_again),
    Row("IPython's settings", _settings, _set_again),
    Row(
        "IPython's transformers",
        lambda: [[*one] for one in _transformers()],
        _transform_again,
    ),
    Row("IPython's namespace", lambda: dict(namespace()), _namespace_again),
)


class Hooks:
    """Functions that IPython calls: magics, at events, to display types; as they are just now.

    Libraries set theirs when they are imported, once; a notebook's own go away with it.
    """

    def __init__(self) -> None:
        self._lists = [[*one] for one in _lists()]
        self._tables = [dict(one) for one in _tables()]

    def give_back(self, own: Own) -> None:
        """Take the notebook's away, and put back what it took away or replaced."""
        for now, noted in zip(_lists(), self._lists, strict=True):
            others = [one for one in now if one not in noted and not own(one)]
            now[:] = [*noted, *others]
        for table, known in zip(_tables(), self._tables, strict=True):
            for key in [key for key, value in table.items() if own(value) or own(key)]:
                del table[key]
            for key, value in known.items():
                table.setdefault(key, value)


def _lists() -> list[list[Any]]:
    return [*_shell().events.callbacks.values()]


def _tables() -> list[dict[Any, Any]]:
    found = [*_shell().magics_manager.magics.values()]
    for one in _shell().display_formatter.formatters.values():
        found += [one.singleton_printers, one.type_printers, one.deferred_printers]
    return found
