"""What an error of torch means: memory that is full, CUDA that is broken, or else."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from imagen_nb.errors import BackendError, ImagenError

# The allocators of CUDA, HIP, MPS and the processor, and libraries that could not get
# memory for themselves; pinning memory fails in CUDA's words. The last is of Windows.
_FULL = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory"
    r"|BLAS_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)"
    r"|CUDNN_STATUS_\w*(ALLOC|NOT_INITIALIZED)"
    r"|unable to find an engine to execute"
    r"|paging file is too small",
    re.IGNORECASE,
)
# After one of these, every later call of CUDA in the process fails.
_BROKEN = re.compile(
    r"illegal memory access|device-side assert|unspecified launch failure"
    r"|misaligned address|illegal instruction|invalid program counter"
    r"|invalid address space|hardware stack error|launch timed out"
    r"|uncorrectable \w+ error",
    re.IGNORECASE,
)


class CardMemoryError(BackendError):
    """Memory was too small, the card's or the machine's; a smaller plan may do.

    `pictures`: how many were drawn together.
    """

    def __init__(self, message: str, pictures: int = 1) -> None:
        super().__init__(message)
        self.pictures = pictures


def is_cuda_broken(error: BaseException) -> bool:
    """Return whether CUDA works no more in this process."""
    return any(
        isinstance(each, RuntimeError) and _BROKEN.search(str(each))
        for each in with_causes(error)
    )


def card_failure(
    error: BaseException, what: str, pictures: int = 1
) -> BackendError | None:
    """Return the error to raise where memory or CUDA is to blame; None where not.

    `what`: what failed, as in "cannot load …". `pictures`: see `CardMemoryError`.
    """
    if is_cuda_broken(error):
        return BackendError(
            f"{what}: {short_reason(error)}; CUDA works no more in this process: "
            "restart the kernel"
        )
    if any(map(_is_full, with_causes(error))):
        return CardMemoryError(f"{what}: {short_reason(error)}", pictures)
    return None


def torch_error(error: BaseException, what: str, pictures: int = 1) -> BackendError:
    """Return the error to raise for one of torch, whatever is to blame.

    Arguments as of `card_failure`.
    """
    failure = card_failure(error, what, pictures)
    return failure or BackendError(f"{what}: {short_reason(error)}")


def short_reason(error: BaseException) -> str:
    """Return an error's own words on one line, cut; its class where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def torch_failures(what: str) -> Iterator[None]:
    """Raise what torch raises in the block as `BackendError`; ours pass as they are.

    Without the traceback, whose frames hold tensors: notebooks keep the last error.
    """
    try:
        yield
    except ImagenError:
        raise
    except (RuntimeError, MemoryError, OSError) as error:
        error = error.with_traceback(None)
        if isinstance(error, OSError) and not card_failure(error, what):
            raise
        raise torch_error(error, what) from error


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, MemoryError) or (
        isinstance(error, (RuntimeError, OSError)) and bool(_FULL.search(str(error)))
    )


def with_causes(error: BaseException) -> list[BaseException]:
    """Return an error and what led to it: libraries wrap those of torch in their own."""
    chain: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in chain:
        chain.append(each)
        each = each.__cause__ or each.__context__
    return chain
