"""The documentation site, as Sphinx builds it: `make docs`.

The sources are the whole checkout, so that README, notebooks and pages link to each other as they
do in a browser of the repository. Nothing is fetched: no fonts, no scripts, no widget manager.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import imagen_nb
from imagen_nb import analysis
from imagen_nb.widgets.accessor import Accessor

# The notebooks draw into an empty home, and know nothing of this machine's configuration.
for name in [*os.environ]:
    if name.startswith(("IMAGEN_", "XDG_", "SUPABASE_", "REPLICATE_", "HF_")):
        del os.environ[name]
home = tempfile.mkdtemp()
atexit.register(shutil.rmtree, home, ignore_errors=True)
os.environ |= {"HOME": home, "TMPDIR": home, "HF_HUB_OFFLINE": "1"}
kernels = Path(home, ".ipython", "profile_default", "ipython_kernel_config.py")
kernels.parent.mkdir(parents=True)
kernels.write_text(
    "get_config().IPKernelApp.log_level = 'ERROR'\n"
)  # not of their wire

project = "imagen_nb"
author = "the authors of imagen_nb"
version = release = imagen_nb.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "notebooks/*.ipynb", "examples/*/README.md"]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "demo-out",
    "runs",
    "tests",
    "imagen_nb",
    "tools",
    "bench",
]

html_theme = "furo"
html_title = f"imagen_nb {release}"
html_extra_path = ["site"]  # its index.html leads to docs/index.html
html_static_path, html_css_files = ["static"], ["site.css"]
html_show_search_summary = False  # pages that are opened as files cannot fetch it
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "default", "monokai"

myst_heading_anchors = 3
myst_links_external_new_tab = False

nb_execution_mode = "force"
nb_execution_excludepatterns = [
    "*/batch.ipynb",  # a template of jobs
    "*/05-remote.ipynb",  # which fetches a Supabase the first time: as it was saved
]
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # it would be fetched
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None)
]

default_role = "code"  # docstrings write `names` as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True
napoleon_use_rtype = False


def missing_names(described: set[str]) -> list[str]:
    """The public names that no page describes."""
    public = {
        f"imagen_nb.{name}" for name in imagen_nb.__all__ if name != "__version__"
    }
    public |= {f"imagen_nb.analysis.{name}" for name in analysis.__all__}
    owners = {
        f"imagen_nb.{each.__name__}": each
        for each in (imagen_nb.Studio, imagen_nb.Pictures)
    }
    owners["imagen_nb.widgets.accessor.Accessor"] = Accessor
    for home, owner in owners.items():
        ours = (one for one in owner.__mro__ if one.__module__.startswith("imagen_nb"))
        names = {name for one in ours for name in vars(one) if not name.startswith("_")}
        public |= {f"{home}.{name}" for name in names}
    return sorted(public - described)


def require_all_names(app: Any, env: Any) -> None:
    """Warn, which is an error here, of public names that are on no page."""
    from sphinx.util import logging

    for missing in missing_names(set(env.domains["py"].objects)):
        logging.getLogger(__name__).warning(
            "%s is public and on no page: add it to docs/api.md", missing
        )


def leave_out_unmatched(app: Any, page: str, source: list[str]) -> None:
    """Leave the patterns of the index out that no page matches: Sphinx would warn of them."""
    if page != root_doc:
        return
    folder = Path(app.srcdir) / "docs"
    kept = []
    for line in source[0].splitlines():
        is_pattern = "*" in line and " " not in line
        if not is_pattern or any(folder.glob(f"{line}.*")):
            kept.append(line)
    source[0] = "\n".join(kept)


def setup(app: Any) -> None:
    """Sphinx calls this."""
    from pygments.lexers.special import TextLexer

    app.add_lexer("csv", TextLexer)
    app.connect("source-read", leave_out_unmatched)
    app.connect("env-check-consistency", require_all_names)
