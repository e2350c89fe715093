"""What belongs to libraries: a table of settings that a notebook changes and gets back.

Each is noted when its library has just been imported, in whatever notebook that is.
"""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

from IPython.core.getipython import get_ipython

from imagen_nb.batch.warm.clean.rows import Row, nothing


def _there(library: str) -> Any:
    """A library that was imported; rows are not asked before that."""
    return sys.modules[library]


def _numpy() -> tuple[dict[str, Any], Any, Any]:
    np = _there("numpy")
    return np.geterr(), np.get_printoptions(), np.geterrcall()


def _numpy_again(noted: tuple[dict[str, Any], Any, Any]) -> None:
    np = _there("numpy")
    np.seterr(**noted[0])
    np.set_printoptions(**noted[1])
    np.seterrcall(noted[2])
    np.random.seed()


def _pandas() -> dict[str, Any]:
    pd = _there("pandas")
    options: dict[str, Any] = copy.deepcopy(pd.options.d)
    return options


def _pandas_again(options: dict[str, Any]) -> None:
    pd = _there("pandas")
    if pd.options.d != options:  # or it would take 20 ms
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of options that are going away
            pd.reset_option("all")


def _matplotlib() -> dict[str, Any]:
    mpl = _there("matplotlib")
    return dict(
        dict.items(mpl.rcParams)
    )  # as they are: to ask for the backend would choose one


def _matplotlib_again(noted: dict[str, Any]) -> None:
    mpl = _there("matplotlib")
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
        if isinstance(noted["backend"], str) and mpl.get_backend() != noted["backend"]:
            pyplot.switch_backend(noted["backend"])
    dict.update(mpl.rcParams, noted)


def _inline() -> dict[str, Any]:
    inline = _there("matplotlib_inline.backend_inline").InlineBackend()
    return {name: getattr(inline, name) for name in _INLINE}


_INLINE = ("figure_formats", "print_figure_kwargs", "close_figures")


def _inline_again(noted: dict[str, Any]) -> None:
    """Figures are shown by hooks of IPython, which matplotlib sets only when it is imported.

    Then it also becomes interactive, after its settings were noted.
    """
    backend, shell = _there("matplotlib_inline.backend_inline"), get_ipython()
    inline = backend.InlineBackend.instance()
    for name, value in noted.items():
        setattr(inline, name, copy.copy(value))
    _there("matplotlib").interactive(True)
    backend.configure_inline_support(shell, "inline")
    backend.select_figure_formats(
        shell, inline.figure_formats, **inline.print_figure_kwargs
    )


def _torch() -> dict[str, Any]:
    torch = _there("torch")
    return {
        "set_default_dtype": torch.get_default_dtype(),
        "set_num_threads": torch.get_num_threads(),
        "set_grad_enabled": torch.is_grad_enabled(),
        "set_float32_matmul_precision": torch.get_float32_matmul_precision(),
        "set_deterministic_debug_mode": torch.get_deterministic_debug_mode(),
        "set_anomaly_enabled": torch.is_anomaly_enabled(),
    }


def _torch_again(noted: dict[str, Any]) -> None:
    torch = _there("torch")
    for setter, value in noted.items():
        if value != _torch()[setter]:
            getattr(torch, setter)(value)
    torch.set_printoptions(profile="default")
    if torch.get_default_device().type != "cpu":
        torch.set_default_device(None)
    if torch.is_inference_mode_enabled():
        raise RuntimeError("inference mode was entered and never left")
    torch.seed()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _widgets_again(_: None) -> None:
    _there("ipywidgets").Widget.close_all()


def _close_comms(_: None) -> None:
    """What was opened to frontends; none of them is there any more."""
    for one in [*_there("comm").get_comm_manager().comms.values()]:
        one.close()


TABLE = (
    Row("numpy's settings", _numpy, _numpy_again, "numpy"),
    Row("pandas' options", _pandas, _pandas_again, "pandas"),
    Row("matplotlib's settings", _matplotlib, _matplotlib_again, "matplotlib"),
    Row("inline figures", _inline, _inline_again, "matplotlib_inline.backend_inline"),
    Row("torch's settings", _torch, _torch_again, "torch"),
    Row("widgets", nothing, _widgets_again, "ipywidgets"),
    Row("comms", nothing, _close_comms, "comm"),
    Row(
        "mocks",
        nothing,
        lambda _: _there("unittest.mock").patch.stopall(),
        "unittest.mock",
    ),
)
