"""The papermill engine `imagen-warm`: one kernel for many notebooks, fresh for each."""

from __future__ import annotations

import time
from typing import Any, TextIO

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager
from papermill.log import logger
from papermill.utils import remove_args

from imagen_nb.batch.warm import kernels
from imagen_nb.batch.warm.kernels import Kernel

_MIN_TIMEOUT_S = 0.001  # to nbclient, 0 means no limit at all
# In nbclient's error when a cell takes too long; it has other limits, too.
_CELL_TIMED_OUT = "The message was: Cell execution timed out."


class WarmEngine(Engine):  # type: ignore[misc]  # papermill has no types
    """Runs notebooks in the process's warm kernel: `papermill --engine imagen-warm`."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        log_output: bool = False,
        stdout_file: TextIO | None = None,
        stderr_file: TextIO | None = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        job_timeout: float | None = None,
        memory: int | None = None,
        **kwargs: Any,
    ) -> NotebookNode:
        """Execute the notebook in the warm kernel; papermill calls this.

        If its time is over, or its kernel dies, the notebook is marked as failed at the
        cell where that happened, as if the cell had raised, and is kept likewise.

        Args:
            nb_man: the notebook, and what papermill records of it.
            kernel_name: which kernel; if it differs from the last notebook's, that
                kernel is replaced.
            log_output: also log what cells print.
            stdout_file: also write there what cells print.
            stderr_file: also write there what cells print as errors.
            start_timeout: seconds that a new kernel may take to start.
            execution_timeout: seconds that a cell may take.
            job_timeout: seconds that the notebook may take, without the kernel's start.
            memory: bytes of the kernel's resident memory above which it is replaced.
            **kwargs: options of nbclient's NotebookClient.
        """
        options = remove_args(["input_path", "timeout", "startup_timeout"], **kwargs)
        with kernels.warm_kernel(kernel_name, start_timeout, memory) as kernel:
            client = _WarmClient(
                nb_man,
                kernel,
                execution_timeout or kwargs.get("timeout"),
                job_timeout,
                kernel_name=kernel_name,
                log=logger,
                log_output=log_output,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
                **options,
            )
            return client.execute()


class _WarmClient(PapermillNotebookClient):  # type: ignore[misc]
    """Papermill's client on a kernel that runs already, and goes on running."""

    def __init__(
        self,
        nb_man: NotebookExecutionManager,
        kernel: Kernel,
        cell_s: float | None,
        job_s: float | None,
        **options: Any,
    ) -> None:
        self._limit_of_cell = options.pop("timeout_func", None)
        super().__init__(
            nb_man, km=kernel.manager, timeout_func=self._seconds_left, **options
        )
        self.kc, self._kernel = kernel.client, kernel
        self._has_exited = False
        self._cell_s, self._job_s = cell_s, job_s
        self._until = time.monotonic() + job_s if job_s else None

    def _seconds_left(self, cell: NotebookNode) -> float | None:
        """Return the seconds that this cell may take; None for no limit."""
        limit = self._limit_of_cell(cell) if self._limit_of_cell else self._cell_s
        limits = [limit] if limit and limit > 0 else []
        if self._until is not None:
            limits.append(max(self._until - time.monotonic(), _MIN_TIMEOUT_S))
        return min(limits, default=None)

    def execute(self, **kwargs: Any) -> NotebookNode:
        """Execute every cell; unlike nbclient's, it starts and ends no kernel."""
        self.reset_execution_trackers()
        self.log.info(f"Executing notebook with kernel: {self.kernel_name}")
        self.papermill_execute_cells()
        self.nb.metadata["language_info"] = dict(self._kernel.language_info)
        self.set_widgets_metadata()
        return self.nb

    def execute_cell(
        self, cell: NotebookNode, cell_index: int, **kwargs: Any
    ) -> NotebookNode:
        """Execute a cell; a kernel that is lost makes it fail as if it had raised."""
        try:
            if self._has_exited and self._is_executed(cell):
                raise DeadKernelError("exit() in an earlier cell has ended the kernel")
            return super().execute_cell(cell, cell_index, **kwargs)
        except CellExecutionError as error:
            if error.ename == "KeyboardInterrupt":
                self._kernel.lost = "it was interrupted"
            raise
        except (CellTimeoutError, DeadKernelError) as error:
            name, reason = type(error).__name__, self._explain(error)
            self._kernel.lost = reason
            line = f"{name}: {reason}"
            cell.outputs.append(
                new_output("error", ename=name, evalue=reason, traceback=[line])
            )
            raise CellExecutionError(line, name, reason) from error

    def _is_executed(self, cell: NotebookNode) -> bool:
        is_skipped = self.skip_cells_with_tag in cell.metadata.get("tags", [])
        return cell.cell_type == "code" and bool(cell.source.strip()) and not is_skipped

    async def _check_raise_for_error(
        self, cell: NotebookNode, cell_index: int, exec_reply: dict[str, Any] | None
    ) -> None:
        """See in the reply to a cell whether it called exit(); nbclient calls this."""
        content = exec_reply["content"] if exec_reply else {}
        for payload in content.get("payload", []):
            if payload.get("source") == "ask_exit" and not payload.get("keepkernel"):
                self._has_exited = True
                self._kernel.lost = "a cell called exit()"
                await self._kernel.wait_for_end()
        await super()._check_raise_for_error(cell, cell_index, exec_reply)

    def _explain(self, error: Exception) -> str:
        if self._has_exited:
            return str(error)
        if isinstance(error, DeadKernelError):
            return "the kernel died in this cell (out of memory? os._exit? killed?)"
        if _CELL_TIMED_OUT not in str(error):
            return str(error)  # another limit of nbclient's, as iopub_timeout
        if self._until is not None and time.monotonic() >= self._until:
            return (
                "the notebook was stopped in this cell "
                f"after {self._job_s:g} s (job_timeout)"
            )
        if self._cell_s and not self._limit_of_cell:
            return f"this cell was stopped after {self._cell_s:g} s (execution_timeout)"
        return str(error)
