"""Image generation with a local FLUX pipeline, recorded, searchable and repeatable.

Names load when they are first used: importing imagen_nb imports neither torch nor pandas.

Example:
    >>> import imagen_nb as im
    >>> im.__version__
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imagen_nb._version import __version__

if TYPE_CHECKING:
    from imagen_nb.analysis.report.page import report
    from imagen_nb.batch.results.executed import glue
    from imagen_nb.batch.running.run import run_batch
    from imagen_nb.cloud.sync_report import SyncReport
    from imagen_nb.errors import (
        BackendError,
        Cancelled,
        CloudError,
        ConfigError,
        ImagenError,
        StorageError,
        UsageError,
    )
    from imagen_nb.storage.picture import Picture
    from imagen_nb.storage.record import Record
    from imagen_nb.storage.votes import Vote
    from imagen_nb.studio.autolog.switch import autolog
    from imagen_nb.studio.default import (
        adopt,
        configure,
        delete,
        embed,
        find,
        generate,
        history,
        job,
        jobs,
        keep,
        lineage,
        optimize,
        pending,
        rate,
        reject,
        reproduce,
        restore,
        sweep,
        sync,
        tag,
        train_lora,
        untag,
        unvote,
        vote,
        votes,
        watch,
    )
    from imagen_nb.studio.effects import effects
    from imagen_nb.studio.elsewhere.handle import RemoteJob
    from imagen_nb.studio.judging import agreement, ranking
    from imagen_nb.studio.optimizing.study import Study
    from imagen_nb.studio.pictures import Pictures
    from imagen_nb.studio.studio import Studio
    from imagen_nb.widgets.compare import Compare
    from imagen_nb.widgets.duel import Duel
    from imagen_nb.widgets.gallery import Gallery
    from imagen_nb.widgets.panel import Panel


_HOMES = {
    "BackendError": "errors",
    "Cancelled": "errors",
    "CloudError": "errors",
    "Compare": "widgets.compare",
    "ConfigError": "errors",
    "Duel": "widgets.duel",
    "Gallery": "widgets.gallery",
    "ImagenError": "errors",
    "Panel": "widgets.panel",
    "Picture": "storage.picture",
    "Pictures": "studio.pictures",
    "Record": "storage.record",
    "RemoteJob": "studio.elsewhere.handle",
    "StorageError": "errors",
    "Studio": "studio.studio",
    "Study": "studio.optimizing.study",
    "SyncReport": "cloud.sync_report",
    "UsageError": "errors",
    "Vote": "storage.votes",
    "adopt": "studio.default",
    "agreement": "studio.judging",
    "autolog": "studio.autolog.switch",
    "configure": "studio.default",
    "delete": "studio.default",
    "effects": "studio.effects",
    "embed": "studio.default",
    "find": "studio.default",
    "generate": "studio.default",
    "glue": "batch.results.executed",
    "history": "studio.default",
    "job": "studio.default",
    "jobs": "studio.default",
    "keep": "studio.default",
    "lineage": "studio.default",
    "optimize": "studio.default",
    "pending": "studio.default",
    "ranking": "studio.judging",
    "rate": "studio.default",
    "reject": "studio.default",
    "report": "analysis.report.page",
    "reproduce": "studio.default",
    "restore": "studio.default",
    "run_batch": "batch.running.run",
    "sweep": "studio.default",
    "sync": "studio.default",
    "tag": "studio.default",
    "train_lora": "studio.default",
    "untag": "studio.default",
    "unvote": "studio.default",
    "vote": "studio.default",
    "votes": "studio.default",
    "watch": "studio.default",
}

__all__ = [
    "BackendError",
    "Cancelled",
    "CloudError",
    "Compare",
    "ConfigError",
    "Duel",
    "Gallery",
    "ImagenError",
    "Panel",
    "Picture",
    "Pictures",
    "Record",
    "RemoteJob",
    "StorageError",
    "Studio",
    "Study",
    "SyncReport",
    "UsageError",
    "Vote",
    "__version__",
    "adopt",
    "agreement",
    "autolog",
    "configure",
    "delete",
    "effects",
    "embed",
    "find",
    "generate",
    "glue",
    "history",
    "job",
    "jobs",
    "keep",
    "lineage",
    "optimize",
    "pending",
    "ranking",
    "rate",
    "reject",
    "report",
    "reproduce",
    "restore",
    "run_batch",
    "sweep",
    "sync",
    "tag",
    "train_lora",
    "untag",
    "unvote",
    "vote",
    "votes",
    "watch",
]


if not TYPE_CHECKING:  # or a type checker would let every misspelt name pass

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'imagen_nb' has no attribute {name!r}")
        return getattr(import_module(f"imagen_nb.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext imagen_nb` calls."""
    import_module("imagen_nb.cli.magic").load_magics(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext imagen_nb` calls."""
    import_module("imagen_nb.cli.magic").unload_magics(shell)


# For df.imagen, without importing pandas.
import_module("imagen_nb.widgets.accessor").register_accessor_with_pandas()
