"""The contracts of plug-ins: `mypy --strict` checks that ours and the example's fit them."""

from __future__ import annotations

from imagen_nb_plugins.backend import gradient
from imagen_nb_plugins.embedder import colours
from imagen_nb_plugins.exporter import captions
from imagen_nb_plugins.scorer import colourfulness

from imagen_nb.backends import Backend
from imagen_nb.frames.plugins.embedders import Embedder
from imagen_nb.frames.plugins.exporters import Exporter, ResumableExporter
from imagen_nb.frames.plugins.imagefolder import imagefolder
from imagen_nb.frames.plugins.kohya import kohya
from imagen_nb.frames.plugins.parquet import parquet
from imagen_nb.frames.plugins.pretrained import siglip2_base
from imagen_nb.frames.plugins.scorers import Scorer
from imagen_nb.frames.plugins.sharpness import sharpness
from imagen_nb.frames.plugins.tiny_embedder.embedder import tiny_embedder
from imagen_nb.frames.plugins.webdataset import webdataset

backend: Backend = gradient(mode="radial")
embedders: list[Embedder] = [colours(), tiny_embedder(), siglip2_base()]
scorers: list[Scorer] = [colourfulness, sharpness]
exporters: list[Exporter] = [captions, imagefolder, kohya, webdataset, parquet]
resumable: list[ResumableExporter] = [imagefolder, kohya, webdataset, parquet]
