"""What belongs to libraries: a table of settings that a notebook changes and gets back.

Each is noted when its library has just been imported, in whatever notebook that is.
"""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

from IPython.core.getipython import get_ipython

from imagen_nb.batch.warm.clean.rows import Setting, note_nothing


def _imported_library(library: str) -> Any:
    """A library that was imported; rows are not asked before that."""
    return sys.modules[library]


def _numpy_settings() -> tuple[dict[str, Any], Any, Any]:
    np = _imported_library("numpy")
    return np.geterr(), np.get_printoptions(), np.geterrcall()


def _restore_numpy(noted: tuple[dict[str, Any], Any, Any]) -> None:
    np = _imported_library("numpy")
    np.seterr(**noted[0])
    np.set_printoptions(**noted[1])
    np.seterrcall(noted[2])
    np.random.seed()


def _pandas_options() -> dict[str, Any]:
    pd = _imported_library("pandas")
    options: dict[str, Any] = copy.deepcopy(pd.options.d)
    return options


def _restore_pandas(options: dict[str, Any]) -> None:
    pd = _imported_library("pandas")
    if pd.options.d != options:  # or it would take 20 ms
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of options that are going away
            pd.reset_option("all")


def _matplotlib_settings() -> dict[str, Any]:
    mpl = _imported_library("matplotlib")
    return dict(
        dict.items(mpl.rcParams)
    )  # as they are: to ask for the backend would choose one


def _restore_matplotlib(noted: dict[str, Any]) -> None:
    mpl = _imported_library("matplotlib")
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
        if isinstance(noted["backend"], str) and mpl.get_backend() != noted["backend"]:
            pyplot.switch_backend(noted["backend"])
    dict.update(mpl.rcParams, noted)


def _inline_settings() -> dict[str, Any]:
    inline = _imported_library("matplotlib_inline.backend_inline").InlineBackend()
    return {name: getattr(inline, name) for name in _INLINE_SETTINGS}


_INLINE_SETTINGS = ("figure_formats", "print_figure_kwargs", "close_figures")


def _restore_inline(noted: dict[str, Any]) -> None:
    """Figures are shown by hooks of IPython, which matplotlib sets only when it is imported.

    Then it also becomes interactive, after its settings were noted.
    """
    backend, shell = (
        _imported_library("matplotlib_inline.backend_inline"),
        get_ipython(),
    )
    inline = backend.InlineBackend.instance()
    for name, value in noted.items():
        setattr(inline, name, copy.copy(value))
    _imported_library("matplotlib").interactive(True)
    backend.configure_inline_support(shell, "inline")
    backend.select_figure_formats(
        shell, inline.figure_formats, **inline.print_figure_kwargs
    )


def _torch_settings() -> dict[str, Any]:
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
    """What was opened to frontends; none of them is there any more."""
    for one in [*_imported_library("comm").get_comm_manager().comms.values()]:
        one.close()


LIBRARY_SETTINGS = (
    Setting("numpy's settings", _numpy_settings, _restore_numpy, "numpy"),
    Setting("pandas' options", _pandas_options, _restore_pandas, "pandas"),
    Setting(
        "matplotlib's settings", _matplotlib_settings, _restore_matplotlib, "matplotlib"
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
    Setting(
        "mocks",
        note_nothing,
        lambda _: _imported_library("unittest.mock").patch.stopall(),
        "unittest.mock",
    ),
)
