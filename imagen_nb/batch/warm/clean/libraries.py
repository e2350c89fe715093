"""Settings of libraries that a notebook may change.

Each is noted when its library has just been imported, in whatever notebook that is.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import operator
import sys
import warnings
from typing import Any

from IPython.core.getipython import get_ipython

from imagen_nb.batch.warm.clean.rows import Setting, note_nothing

_TORCH_SETTERS = {
    "set_default_dtype": "get_default_dtype",
    "set_num_threads": "get_num_threads",
    "set_grad_enabled": "is_grad_enabled",
    # Before the flags of the core that stand for the same, or they cannot be read.
    "set_float32_matmul_precision": "get_float32_matmul_precision",
    "set_deterministic_debug_mode": "get_deterministic_debug_mode",
    "set_anomaly_enabled": "is_anomaly_enabled",
}
_INLINE_SETTINGS = ("figure_formats", "print_figure_kwargs", "close_figures")


def _imported_library(name: str) -> Any:
    """Return a library that was imported; settings are not asked for before that."""
    return sys.modules[name]


def _numpy_settings() -> tuple[dict[str, Any], Any, Any]:
    np = _imported_library("numpy")
    return np.geterr(), np.get_printoptions(), np.geterrcall()


def _restore_numpy(noted: tuple[dict[str, Any], Any, Any]) -> None:
    np = _imported_library("numpy")
    errors, print_options, error_call = noted
    np.seterr(**errors)
    np.set_printoptions(**print_options)
    np.seterrcall(error_call)
    np.random.seed()


def _pandas_options() -> dict[str, Any]:
    pd = _imported_library("pandas")
    options: dict[str, Any] = copy.deepcopy(pd.options.d)
    return options


def _restore_pandas(options: dict[str, Any]) -> None:
    pd = _imported_library("pandas")
    if pd.options.d != options:  # a reset takes 20 ms
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of options that are deprecated
            pd.reset_option("all")


def _matplotlib_settings() -> dict[str, Any]:
    mpl = _imported_library("matplotlib")
    # By dict's own method: rcParams would choose a backend when it is asked for one.
    return dict(dict.items(mpl.rcParams))


def _restore_matplotlib(noted: dict[str, Any]) -> None:
    mpl = _imported_library("matplotlib")
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot:
        pyplot.close("all")
        backend = noted["backend"]
        if isinstance(backend, str) and mpl.get_backend() != backend:
            if backend.removeprefix("module://") in sys.modules:
                pyplot.switch_backend(backend)
            else:  # never used: its import belongs to the notebook that needs it
                vars(pyplot)["_backend_mod"] = None
    dict.update(mpl.rcParams, noted)


def _inline_settings() -> dict[str, Any]:
    inline = _imported_library("matplotlib_inline.backend_inline").InlineBackend()
    return {name: getattr(inline, name) for name in _INLINE_SETTINGS}


def _restore_inline(noted: dict[str, Any]) -> None:
    """Let figures be shown again.

    Hooks of IPython do that, which matplotlib sets only when it is imported. Then it
    also becomes interactive, after its settings were noted.
    """
    backend = _imported_library("matplotlib_inline.backend_inline")
    shell = get_ipython()
    inline = backend.InlineBackend.instance()
    for name, value in noted.items():
        setattr(inline, name, copy.copy(value))
    _imported_library("matplotlib").interactive(True)
    backend.configure_inline_support(shell, "inline")
    backend.select_figure_formats(
        shell, inline.figure_formats, **inline.print_figure_kwargs
    )


def _torch_settings() -> dict[tuple[str, str], Any]:
    """Return the present values by the functions that set and get them."""
    torch = _imported_library("torch")
    settings = {}
    for setter, getter in {**_TORCH_SETTERS, **_torch_flags(torch._C)}.items():
        with contextlib.suppress(Exception):  # it wants an argument, or a GPU
            settings[setter, getter] = _call(torch, getter)
    return settings


def _torch_flags(core: Any) -> dict[str, str]:
    """Return setters and getters of what torch's core keeps, as `cudnn_benchmark`."""
    names = [
        name.removeprefix("_get_") for name in dir(core) if name.startswith("_get_")
    ]
    return {
        f"_C._set_{name}": f"_C._get_{name}"
        for name in names
        if hasattr(core, f"_set_{name}")
    }


def _call(module: Any, function: str, *arguments: Any) -> Any:
    return operator.attrgetter(function)(module)(*arguments)


def _restore_torch(noted: dict[tuple[str, str], Any]) -> None:
    torch = _imported_library("torch")
    for (setter, getter), value in noted.items():
        if _call(torch, getter) != value:
            _call(torch, setter, value)
    torch.set_printoptions(profile="default")
    if torch.get_default_device().type != "cpu":
        torch.set_default_device(None)
    if torch.is_inference_mode_enabled():
        raise RuntimeError("inference mode was entered and never left")
    torch.seed()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _record_interop_calls() -> list[str]:
    """Record from now on that it is set how many operations run at the same time.

    That can be done once in a process, and torch does not tell whether it was.
    """
    torch, calls = _imported_library("torch"), []
    real = torch.set_num_interop_threads

    @functools.wraps(real)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        calls.append(real.__name__)
        return real(*args, **kwargs)

    torch.set_num_interop_threads = recorded
    return calls


def _require_no_calls(calls: list[str]) -> None:
    if calls:
        raise RuntimeError(f"{calls[0]} can be called once in a process")


def _start_method() -> str | None:
    method: str | None = _imported_library("multiprocessing").get_start_method(
        allow_none=True
    )
    return method


def _restore_start_method(noted: str | None) -> None:
    """Let it be chosen again, if it was only used; the default is the first one."""
    multiprocessing = _imported_library("multiprocessing")
    if _start_method() not in (noted, multiprocessing.get_all_start_methods()[0]):
        raise RuntimeError("set_start_method can be called once in a process")
    multiprocessing.set_start_method(noted, force=True)


def _close_widgets(_: None) -> None:
    _imported_library("ipywidgets").Widget.close_all()


def _close_comms(_: None) -> None:
    """Close the connections to frontends, none of which is there any more."""
    for one in [*_imported_library("comm").get_comm_manager().comms.values()]:
        one.close()


def _stop_mocks(_: None) -> None:
    _imported_library("unittest.mock").patch.stopall()


LIBRARY_SETTINGS = (
    Setting("numpy's settings", _numpy_settings, _restore_numpy, "numpy"),
    Setting("pandas' options", _pandas_options, _restore_pandas, "pandas"),
    Setting(
        "matplotlib's settings",
        _matplotlib_settings,
        _restore_matplotlib,
        "matplotlib",
    ),
    Setting(
        "inline figures",
        _inline_settings,
        _restore_inline,
        "matplotlib_inline.backend_inline",
    ),
    Setting("torch's settings", _torch_settings, _restore_torch, "torch"),
    Setting(
        "torch's interop threads", _record_interop_calls, _require_no_calls, "torch"
    ),
    Setting("multiprocessing", _start_method, _restore_start_method, "multiprocessing"),
    Setting("widgets", note_nothing, _close_widgets, "ipywidgets"),
    Setting("comms", note_nothing, _close_comms, "comm"),
    Setting("mocks", note_nothing, _stop_mocks, "unittest.mock"),
)
