"""Settings of libraries that a notebook may change.

Each is noted when its library has just been imported, in whatever notebook that is.
"""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

from IPython.core.getipython import get_ipython

from imagen_nb.batch.warm.clean.rows import Setting, note_nothing

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
        if isinstance(noted["backend"], str) and mpl.get_backend() != noted["backend"]:
            pyplot.switch_backend(noted["backend"])
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


def _torch_settings() -> dict[str, Any]:
    """Return the present values by the names of the functions that set them."""
    torch = _imported_library("torch")
    return {
        "set_default_dtype": torch.get_default_dtype(),
        "set_num_threads": torch.get_num_threads(),
        "set_grad_enabled": torch.is_grad_enabled(),
        "set_float32_matmul_precision": torch.get_float32_matmul_precision(),
        "set_deterministic_debug_mode": torch.get_deterministic_debug_mode(),
        "set_anomaly_enabled": torch.is_anomaly_enabled(),
    }


def _restore_torch(noted: dict[str, Any]) -> None:
    torch = _imported_library("torch")
    for setter, value in noted.items():
        if value != _torch_settings()[setter]:
            getattr(torch, setter)(value)
    torch.set_printoptions(profile="default")
    if torch.get_default_device().type != "cpu":
        torch.set_default_device(None)
    if torch.is_inference_mode_enabled():
        raise RuntimeError("inference mode was entered and never left")
    torch.seed()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


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
    Setting("widgets", note_nothing, _close_widgets, "ipywidgets"),
    Setting("comms", note_nothing, _close_comms, "comm"),
    Setting("mocks", note_nothing, _stop_mocks, "unittest.mock"),
)
