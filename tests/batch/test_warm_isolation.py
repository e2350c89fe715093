"""Notebooks that try to leave something to the next one, in the same kernel, and do not succeed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import papermill
import pytest

from imagen_nb.batch.warm import kernels
from tests.fixtures.warm_notebooks import PID, process, run, value

# What it is called: what a notebook does, and what to look at, which that changes.
LEAKS = {
    "a variable": ("x = 1", "'x' in globals()"),
    "a built-in name in the namespace": ("__name__ = 'other'", "__name__"),
    "outputs": ("41 + 1", "len(Out)"),
    "the working directory": ("import os; os.chdir('/')", "__import__('os').getcwd()"),
    "a new variable of the environment": (
        "import os; os.environ['LEAK'] = '1'",
        "__import__('os').environ.get('LEAK')",
    ),
    "a variable taken out of the environment": (
        "import os; del os.environ['PATH']",
        "'PATH' in __import__('os').environ",
    ),
    "sys.path": ("import sys; sys.path.insert(0, '/leak')", "__import__('sys').path[0]"),
    "sys.argv": ("import sys; sys.argv.append('leak')", "__import__('sys').argv[-1] == 'leak'"),
    "stderr": (
        "import sys; sys.stderr = sys.stdout",
        "__import__('sys').stderr is __import__('sys').stdout",
    ),
    "sys.unraisablehook": (
        "import sys; sys.unraisablehook = print",
        "__import__('sys').unraisablehook is print",
    ),
    "the recursion limit": (
        "import sys; sys.setrecursionlimit(4321)",
        "__import__('sys').getrecursionlimit()",
    ),
    "a trace function": ("import sys; sys.settrace(print)", "__import__('sys').gettrace()"),
    "the garbage collector": ("import gc; gc.disable()", "__import__('gc').isenabled()"),
    "warnings filters": (
        "import warnings; warnings.simplefilter('error')",
        "str(__import__('warnings').filters[0])",
    ),
    "the root logger": (
        "import logging; logging.basicConfig(level=10)",
        "(lambda r: (r.level, len(r.handlers)))(__import__('logging').getLogger())",
    ),
    "a logger of its own": (
        "import logging; logging.getLogger('mine').addHandler(logging.StreamHandler())",
        "len(__import__('logging').getLogger('mine').handlers)",
    ),
    "logging switched off": (
        "import logging; logging.disable(50)",
        "__import__('logging').root.manager.disable",
    ),
    "the locale": (
        "import locale; locale.setlocale(locale.LC_CTYPE, 'C')",
        "__import__('locale').setlocale(__import__('locale').LC_CTYPE)",
    ),
    "the umask": (
        "import os; os.umask(0o077)",
        "import os; mask = os.umask(0); os.umask(mask); mask",
    ),
    "a signal handler": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "__import__('signal').getsignal(15)",
    ),
    "the decimal context": (
        "import decimal; decimal.getcontext().prec = 3",
        "__import__('decimal').getcontext().prec",
    ),
    "the sockets' time limit": (
        "import socket; socket.setdefaulttimeout(7)",
        "__import__('socket').getdefaulttimeout()",
    ),
    "the temporary folder": (
        "import tempfile; tempfile.tempdir = '/'",
        "__import__('tempfile').tempdir",
    ),
    "a new builtin": (
        "import builtins; builtins.leak = 1",
        "hasattr(__import__('builtins'), 'leak')",
    ),
    "a patched builtin": ("import builtins; builtins.ascii = lambda x: x", "ascii.__class__"),
    "a patched function": (
        "import shlex; shlex.quote = lambda text: 'leak'",
        "__import__('shlex').quote('a b')",
    ),
    "a wrapped function": (
        "import functools, shlex\n"
        "shlex.quote = functools.wraps(shlex.quote)(lambda text, real=shlex.quote: real(text))",
        "__import__('shlex').quote.__code__.co_name",
    ),
    "a function replaced by another": (
        "import os; os.listdir = os.stat",
        "__import__('os').listdir.__name__",
    ),
    "a function replaced by a value": (
        "import shlex; shlex.join = 5",
        "type(__import__('shlex').join)",
    ),
    "a function taken out": (
        "import shlex; del shlex.split",
        "hasattr(__import__('shlex'), 'split')",
    ),
    "a module replaced": (
        "import sys, shlex; sys.modules['shlex'] = 5",
        "type(__import__('shlex'))",
    ),
    "a module imported anew": (
        "import sys; old = sys.modules.pop('shlex'); import shlex; shlex.leak = old is not shlex",
        "hasattr(__import__('shlex'), 'leak')",
    ),
    "a function in a library that it was the first to import": (
        "import wave; wave.open = lambda *a: None",
        "__import__('wave').open.__name__",
    ),
    "a mock in a library that it was the first to import": (
        "import wave; from unittest.mock import Mock; wave.open = Mock()",
        "type(__import__('wave').open)",
    ),
    "another library's function in one that it was the first to import": (
        "import wave, os; wave.open = os.stat",
        "__import__('wave').open.__name__",
    ),
    "a constant": ("import string; string.digits = '01'", "__import__('string').digits"),
    "a constant of a library that it was the first to import": (
        "import colorsys; colorsys.ONE_THIRD = 3",
        "__import__('colorsys').ONE_THIRD",
    ),
    "logging's switch for errors": (
        "import logging; logging.raiseExceptions = False",
        "__import__('logging').raiseExceptions",
    ),
    "how large a picture may be": (
        "import PIL.Image; PIL.Image.MAX_IMAGE_PIXELS = None",
        "str(__import__('PIL.Image').Image.MAX_IMAGE_PIXELS)",
    ),
    "data in a module of Python's": (
        "import shlex; shlex.answer = 42",
        "hasattr(__import__('shlex'), 'answer')",
    ),
    "data in a class of Python's": (
        "import shlex; shlex.shlex.answer = 42",
        "hasattr(__import__('shlex').shlex, 'answer')",
    ),
    "tqdm's methods in pandas": (
        "import pandas, tqdm; tqdm.tqdm.pandas()",
        "hasattr(__import__('pandas').DataFrame, 'progress_apply')",
    ),
    "another library's method in pandas": (
        "import pandas; pandas.DataFrame._repr_html_ = pandas.isna",
        "__import__('pandas').DataFrame._repr_html_.__name__",
    ),
    "how addresses are opened": (
        "import urllib.request as r; r.install_opener(r.build_opener())",
        "__import__('urllib.request').request._opener is None",
    ),
    "how processes are started": (
        "import multiprocessing; lock = multiprocessing.Lock()",
        "str(__import__('multiprocessing').get_start_method(allow_none=True))",
    ),
    "a mock": (
        "from unittest import mock; mock.patch('shlex.quote').start()",
        "type(__import__('shlex').quote)",
    ),
    "an import finder": (
        "import sys\nclass Finder:\n    def find_spec(self, *given): return None\n"
        "sys.meta_path.insert(0, Finder())",
        "type(__import__('sys').meta_path[0]).__name__",
    ),
    "an extension": (
        "%load_ext autoreload",
        "'autoreload' in str(get_ipython().extension_manager.loaded)",
    ),
    "what an extension has IPython call": (
        "%load_ext autoreload",
        "{name: len(one) for name, one in get_ipython().events.callbacks.items()}",
    ),
    "a magic": (
        "from IPython.core.magic import register_line_magic\n"
        "@register_line_magic\ndef leak(line): pass",
        "'leak' in get_ipython().magics_manager.magics['line']",
    ),
    "a function called at every cell": (
        "def leak(info): pass\nget_ipython().events.register('pre_run_cell', leak)",
        "len(get_ipython().events.callbacks['pre_run_cell'])",
    ),
    "a transformer of cells": (
        "get_ipython().input_transformers_cleanup.append(lambda lines: lines)",
        "len(get_ipython().input_transformers_cleanup)",
    ),
    "a transformer of syntax trees": (
        "import ast\nclass Same(ast.NodeTransformer): pass\n"
        "get_ipython().ast_transformers.append(Same())",
        "len(get_ipython().ast_transformers)",
    ),
    "how a type is shown": (
        "get_ipython().display_formatter.formatters['text/plain']"
        ".for_type(int, lambda *a: a[1].text('#'))",
        "1",
    ),
    "how a class of its own is shown": (
        "class Mine: pass\n"
        "get_ipython().display_formatter.formatters['text/html'].for_type(Mine, lambda one: '<b>')",
        "len(get_ipython().display_formatter.formatters['text/html'].type_printers)",
    ),
    "how much is shown": (
        "get_ipython().ast_node_interactivity = 'all'",
        "get_ipython().ast_node_interactivity",
    ),
    "the precision of floats": ("%precision 2", "0.123456"),
    "the kind of tracebacks": ("%xmode Minimal", "get_ipython().InteractiveTB.mode"),
    "an alias": ("%alias leak echo", "get_ipython().alias_manager.is_alias('leak')"),
    "how an exception is shown": (
        "get_ipython().set_custom_exc((ValueError,), lambda *a: None)",
        "get_ipython().custom_exceptions",
    ),
    "a widget": (
        "import ipywidgets; slider = ipywidgets.IntSlider()",
        "len(__import__('ipywidgets').widgets.widget._instances)",
    ),
    "a task": (
        "import asyncio; task = asyncio.create_task(asyncio.sleep(1000), name='leak')",
        "'leak' in [t.get_name() for t in __import__('asyncio').all_tasks()]",
    ),
    "a task of its own code": (
        "import asyncio\nasync def wait(): await asyncio.sleep(1000)\n"
        "task = asyncio.create_task(wait(), name='leak')",
        "'leak' in [t.get_name() for t in __import__('asyncio').all_tasks()]",
    ),
    "numpy's errors": (
        "import numpy as np; np.seterr(all='raise')",
        "__import__('numpy').geterr()",
    ),
    "numpy's printing": (
        "import numpy as np; np.set_printoptions(precision=2)",
        "__import__('numpy').get_printoptions()['precision']",
    ),
    "pandas' options": (
        "import pandas as pd; pd.set_option('display.max_rows', 3)",
        "__import__('pandas').get_option('display.max_rows')",
    ),
    "matplotlib's settings": (
        "import matplotlib as mpl; mpl.rcParams['figure.dpi'] = 7",
        "__import__('matplotlib').rcParams['figure.dpi']",
    ),
    "a figure": (
        "import matplotlib.pyplot as plt\n%config InlineBackend.close_figures = False\n"
        "plt.figure();",
        "len(__import__('matplotlib.pyplot').pyplot.get_fignums())",
    ),
    "matplotlib's backend": (
        "import matplotlib; matplotlib.use('svg')",
        "(__import__('matplotlib.pyplot'), __import__('matplotlib').get_backend())[1]",
    ),
    "the format of figures": (
        "%matplotlib inline\n%config InlineBackend.figure_formats = ['svg']",
        "%matplotlib inline\n"
        "[name for name, one in get_ipython().display_formatter.formatters.items()"
        " if 'Figure' in str(one.type_printers)]",
    ),
}
TORCH = {
    "torch's default type": ("torch.set_default_dtype(torch.float64)", "torch.get_default_dtype()"),
    "torch's gradients": ("torch.set_grad_enabled(False)", "torch.is_grad_enabled()"),
    "torch's threads": (
        "torch.set_num_threads(torch.get_num_threads() + 1)",
        "torch.get_num_threads()",
    ),
    "torch's algorithms": (
        "torch.use_deterministic_algorithms(True)",
        "torch.are_deterministic_algorithms_enabled()",
    ),
    "torch's device": ("torch.set_default_device('meta')", "torch.zeros(1).device"),
    "torch's inference mode": (
        "mode = torch.inference_mode(); mode.__enter__()",
        "torch.is_inference_mode_enabled()",
    ),
    "torch's search for fast algorithms": (
        "torch.backends.cudnn.benchmark = True",
        "torch.backends.cudnn.benchmark",
    ),
    "torch's printing": ("torch.set_printoptions(precision=2)", "torch.tensor(0.12345)"),
}


@pytest.fixture(scope="module", autouse=True)
def _kernel() -> Iterator[None]:
    """One kernel for all of these: each also shows that it did not have to be replaced."""
    yield
    kernels.close_kernel()


@pytest.mark.parametrize("what", LEAKS)
def test_the_next_notebook_does_not_find(what: str) -> None:
    leak, look = LEAKS[what]
    before = run("pass", look, PID)
    leaked = value(leak, look)
    assert leaked != before[0], "the notebook did not change what is looked at"
    assert run("pass", look, PID) == before


def test_the_next_notebook_finds_torch_as_it_was_imported() -> None:
    looks = [f"import torch\n{look}" for _, look in TORCH.values()]
    before = run(*looks, PID, job_timeout=120)
    for (leak, look), was in zip(TORCH.values(), before, strict=False):
        assert value(f"import torch\n{leak}", look) != was
    assert run(*looks, PID) == before


@pytest.mark.parametrize(
    ("seed", "draw"),
    [
        ("import random; random.seed(1)", "__import__('random').random()"),
        ("import numpy as np; np.random.seed(1)", "__import__('numpy').random.rand()"),
        ("import torch; torch.manual_seed(1)", "__import__('torch').rand(1).item()"),
    ],
)
def test_a_seed_is_not_the_next_notebooks(seed: str, draw: str) -> None:
    seeded = value(seed, draw)
    assert value(seed, draw) == seeded
    assert len({value(draw), value(draw), seeded}) == 3


def test_cells_are_counted_from_one_again_and_the_last_error_is_forgotten() -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        run("secret = 1", "secret / 0")
    look = "import sys; get_ipython().execution_count, len(In), hasattr(sys, 'last_value')"
    assert value(look) == "(2, 2, False)"  # the next is the second


def test_what_a_notebook_wants_done_at_the_end_is_done_at_its_end(tmp_path: Path) -> None:
    before = process()
    run(
        "import atexit, pathlib\nplace = pathlib.Path('end')\n"
        "@atexit.register\ndef end(): place.touch()\natexit.register(place.exists)",
        cwd=str(tmp_path),
    )
    assert process(cwd=str(tmp_path)) == before
    assert (tmp_path / "end").exists()


def test_a_notebook_runs_where_papermill_is_told_to(tmp_path: Path) -> None:
    assert value("import os; os.getcwd()", cwd=str(tmp_path)) == repr(str(tmp_path))
    assert value("import os; os.getcwd()") == repr(os.getcwd())


def test_a_notebook_finds_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    look = "import os; os.environ.get('IMAGEN_TEST'), os.environ.get('JPY_PARENT_PID')"
    monkeypatch.setenv("IMAGEN_TEST", "one")
    assert value(look) == f"('one', '{os.getpid()}')"
    monkeypatch.delenv("IMAGEN_TEST")
    assert value(look) == f"(None, '{os.getpid()}')"


def test_each_notebook_imports_the_module_beside_it(tmp_path: Path) -> None:
    """Also one that is imported from another, and one that patches a library."""
    before = process()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(
            f"import shlex\nfrom inner import x\nname = {name!r}"
        )
        (tmp_path / name / "inner.py").write_text(
            "import shlex\nx = shlex.quote('a b')\nshlex.quote = len"
        )
        assert value("import helper; helper.name, helper.x", cwd=str(tmp_path / name)) == str(
            (name, "'a b'")
        )
    assert process() == before


def test_what_is_installed_stays_imported() -> None:
    look = "import numpy, shlex, imagen_nb\n[id(one) for one in (numpy, shlex, imagen_nb)]"
    assert value(look) == value(look)


def test_figures_are_shown_in_every_notebook() -> None:
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    for _ in range(3):
        assert run(plot) == ["<Figure size 640x480 with 1 Axes>"]


def test_usual_notebooks_leave_nothing(tmp_path: Path) -> None:
    """Classes, callbacks, threads, pools, tasks that have ended: the kernel stays."""
    before = process()
    run(*USUAL)
    assert process() == before


USUAL = (
    "from dataclasses import dataclass\nfrom functools import cache\n"
    "from typing import Generic, TypeVar\n"
    "@dataclass\nclass Point:\n    x: int\n"
    "@cache\ndef twice(x): return 2 * x\ntwice(2), [Point(1)]\n"
    "T = TypeVar('T')\nclass Box(Generic[T]): pass\nbox: list[Point] = Box[Point]()",
    "import pydantic\nclass Model(pydantic.BaseModel):\n    x: int\nModel(x=1).model_dump_json()",
    "import pandas as pd\npd.DataFrame({'a': [1, 2]}).a.map(lambda x: x + 1)",
    "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x): return x * 2\n"
    "net = Net(); net.register_forward_hook(lambda *a: None); "
    "net(torch.ones(1, requires_grad=True)).backward()",
    "import ipywidgets\nbutton = ipywidgets.Button(); button.on_click(lambda b: None); button",
    "import asyncio, threading\nfrom concurrent.futures import ThreadPoolExecutor\n"
    "pool = ThreadPoolExecutor(2); list(pool.map(lambda x: x, range(3)))\n"
    "thread = threading.Thread(target=lambda: None); thread.start()\n"
    "await asyncio.gather(asyncio.sleep(0), asyncio.to_thread(lambda: 1))",
    "import warnings, logging\nwarnings.warn('careful')\n"
    "logging.getLogger('mine').warning('careful')",
    "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)",
    "%timeit -n1 -r1 1 + 1",
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    kept = error",
)


def test_figures_show_after_a_first_notebook_that_draws_them_into_files() -> None:
    kernels.close_kernel()
    run("import matplotlib.pyplot\nmatplotlib.use('svg')")
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    assert run(figure) == run(figure) == ["<Figure size 640x480 with 1 Axes>"]
