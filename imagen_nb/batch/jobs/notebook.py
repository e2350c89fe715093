"""The notebook that a batch runs, before any parameters are put into it."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagen_nb.batch.jobs.parameters import Parameter, notebook_parameters
from imagen_nb.errors import UsageError
from imagen_nb.system.kernels import explain_missing_kernel, find_kernel
from imagen_nb.system.markup import one_line
from imagen_nb.system.paths import expand_user

if TYPE_CHECKING:
    from nbformat import NotebookNode


_NO_NOTEBOOK = (
    *(ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, RecursionError, NameError),  # of nbformat and of json
)


@dataclass(frozen=True, slots=True)
class Template:
    """A notebook as text, so that it can be sent to the process that runs it.

    Attributes:
        name: of its file.
        text: the .ipynb as JSON, without outputs.
        digest: of its cells and kernel; outputs that were saved do not change it.
        parameters: what its cell tagged `parameters` assigns.
    """

    name: str
    text: str
    digest: str
    parameters: tuple[Parameter, ...]

    def fresh(self) -> NotebookNode:
        """Return a new notebook in which nothing was run."""
        import nbformat

        return nbformat.reads(self.text, as_version=4)


def packaged_notebook() -> Path:
    """Return the path of notebooks/batch.ipynb.

    It is inside the package in a wheel, and beside it in a checkout.
    """
    package = Path(__file__).parents[2]
    inside = package / "notebooks" / "batch.ipynb"
    return inside if inside.exists() else package.parent / "notebooks" / "batch.ipynb"


def load_template(notebook: Path | str | None) -> Template:
    """Load a notebook to run, the packaged one if None.

    Raises `UsageError` if the file is no notebook, names no kernel or a language in
    which papermill writes no parameters, or has no cell tagged `parameters`.
    """
    import nbformat

    path = packaged_notebook() if notebook is None else expand_user(Path(notebook))
    loaded = _load_notebook(path)
    _require_language(path, loaded)
    for cell in loaded.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    try:
        known = tuple(notebook_parameters(loaded))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    with _repairing_ids():
        text = nbformat.writes(loaded)
    return Template(path.name, text, _digest_of_notebook(loaded), known)


def _load_notebook(path: Path) -> NotebookNode:
    import nbformat
    from papermill.iorw import load_notebook_node

    try:
        with _repairing_ids():
            notebook = copy.deepcopy(load_notebook_node(str(path)))
            _require_form(notebook)
            nbformat.writes(notebook).encode()
    except (OSError, nbformat.ValidationError, *_NO_NOTEBOOK) as error:
        reason = getattr(error, "strerror", None) or "no notebook"
        raise UsageError(f"{path}: {reason}: give the path of an .ipynb file") from None
    return notebook


@contextmanager
def _repairing_ids() -> Iterator[None]:
    """Let nbformat give cells ids of their own, which it warns of each time."""
    from nbformat.warnings import DuplicateCellId, MissingIDFieldWarning

    with warnings.catch_warnings():
        for category in (DuplicateCellId, MissingIDFieldWarning):
            warnings.simplefilter("ignore", category)
        yield


def _require_form(notebook: NotebookNode) -> None:
    """Raise TypeError if a part of the notebook that is read here is of another type."""
    parts = [notebook.metadata, notebook.metadata.get("kernelspec", {})]
    parts += [*notebook.cells, *(cell.metadata for cell in notebook.cells)]
    texts = [text for cell in notebook.cells for text in (cell.cell_type, cell.source)]
    for cell in notebook.cells:
        texts += cell.metadata.get("tags", ())
    are_mappings = all(isinstance(part, dict) for part in parts)
    if not are_mappings or not all(isinstance(text, str) for text in texts):
        raise TypeError("of another form")


def _require_language(path: Path, notebook: NotebookNode) -> None:
    """Raise UsageError if papermill could not write parameters into the notebook."""
    from papermill.exceptions import PapermillException
    from papermill.translators import papermill_translators
    from papermill.utils import nb_language

    remedy = "open it in JupyterLab, choose one, and save it"
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if not kernel:
        raise UsageError(f"{path} names no kernel: {remedy}")
    try:
        papermill_translators.find_translator(kernel, nb_language(notebook, None))
    except (ValueError, TypeError, PapermillException):
        raise UsageError(
            f"{path} names no language that papermill writes parameters in, beside its"
            f" kernel {one_line(kernel)}: {remedy}"
        ) from None


def require_kernel(template: Template) -> None:
    """Raise `UsageError` if the notebook's kernel is not installed on this machine."""
    name = template.fresh().metadata["kernelspec"]["name"]
    if find_kernel(name) is None:
        raise UsageError(
            f"{template.name} needs the kernel {name!r}, "
            f"which is not installed: {explain_missing_kernel(name)}"
        )


def _digest_of_notebook(notebook: NotebookNode) -> str:
    kernel: Any = notebook.metadata["kernelspec"]["name"]
    cells = [
        (cell.cell_type, cell.source, sorted(cell.metadata.get("tags", ())))
        for cell in notebook.cells
    ]
    return hashlib.sha256(json.dumps([kernel, cells]).encode()).hexdigest()
