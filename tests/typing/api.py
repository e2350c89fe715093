"""The public API as a user writes it. Nobody runs this: `mypy --strict` checks that it fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
from PIL.Image import Image

import imagen_nb as im

version: str = im.__version__

# One picture, with as little or as much said as one likes.
picture: im.Picture = im.generate("a red boat")
picture = im.generate(
    "a red boat",
    seed=11,
    steps=4,
    width=128,
    height=128,
    guidance=0.0,
    backend="flux-tiny-local",
    tags=["try"],
    cloud=False,
    output="pictures",
    progress=False,
    max_sequence_length=16,
)
picture = im.generate(prompt="a red boat", output=Path("boat.png"), progress=print, model="a/b")
image: Image = picture.image
path: Path = picture.path
sidecar: Path = picture.sidecar_path
state: str = picture.cloud
record: im.Record = picture.record
identity: UUID = record.id
labels: tuple[str, ...] = record.tags

# Many pictures.
pictures: im.Pictures = im.sweep("a {red|blue} boat", seeds=range(4), steps=[2, 4])
pictures = im.sweep(["a boat", "a house"], seeds=3, guidance=[0.0, 3.5], size=(128, 128))
pictures = im.sweep("a boat", size=[(128, 128), (192, None)], tags=("a", "b"), cloud=None)
several: Sequence[im.Picture] = pictures
one: im.Picture = pictures[0]
some: im.Pictures = pictures[1:3]
sheet: Image = pictures.contact_sheet(columns=4, cell=96)
saved: Path = pictures.save_contact_sheet()
frame: pd.DataFrame = pictures.frame()

# Drawn elsewhere.
picture = im.generate("a red boat", backend="remote:flux-dev-local")
picture = im.reproduce(picture, backend="remote")
handle: im.RemoteJob = im.generate("a red boat", backend="remote", seed=3, wait=False)
handles: list[im.RemoteJob] = im.sweep("a boat", seeds=[1, 2], backend="remote", wait=False)
picture = handle.picture(timeout=60)
how_far: str = handle.state
was_open: bool = handle.cancel()
jobs: pd.DataFrame = im.jobs(["waiting", "drawing"], limit=None)
handle = im.job(jobs.iloc[0])
handle = im.job(handle.id)

# The cloud.
report: im.SyncReport = im.sync()
report = im.sync(
    timeout=5.0, pictures=[picture, identity, str(identity)], include_private=[picture]
)
waiting: pd.DataFrame = im.pending()
adopted: pd.DataFrame = im.adopt("outputs", tags=["old"], cloud=False, progress=True)
adopted = im.adopt([Path("a.png"), "b.jpg"], output="ours")
family: pd.DataFrame = im.lineage(picture)
for row in im.watch(prompt="boat", tags="sea", source="cloud", timeout=60):
    came: pd.Series[Any] = row
same: im.Picture = im.reproduce(frame.iloc[0], output="again", cloud=False)
is_same: bool | None = same.identical
why_not: tuple[str, ...] = same.differs
tagged: int = im.tag(frame, "sea", "keeper") + im.untag([picture, "3f1c9a52"], "sea")
vote: im.Vote = im.vote(picture, identity, "left")
vote = im.vote(frame.iloc[0], "3f1c9a52", "tie", question="which?", voter="me", seconds=1.5)
vote = im.unvote(vote)
vote = im.unvote(vote.id)
votes: pd.DataFrame = im.votes()
votes = im.votes("which?", voter=["me", "you"], source="local")
rated: int = im.rate(picture, 5) + im.rate(path, None) + im.keep(frame.iloc[0]) + im.reject(id)
gone: int = im.delete(frame, cloud_after=10) + im.delete("3f1c9a52") + im.restore([picture, path])
other: im.Picture = im.generate(like=same, steps=8)
history: pd.DataFrame = im.history(prompt="boat -night", tags="keeper", seed=range(8), limit=20)
hits: pd.DataFrame = im.find("a harbour", 20, without="boat", like=[picture], unlike=[path])
hits = im.find(picture, n=8, embedder="tiny", source="local", since="7d", tags=["sea"])
mattering: pd.DataFrame = im.effects(history, "latency_ms", settings=["steps"], words=True)
mattering = im.effects(history, on="votes", votes=hits)
embedded: int = im.embed(embedder="tiny", progress=False)
scored: pd.DataFrame = history.imagen.score("sharpness")
alike: pd.DataFrame = history.imagen.similar(0, n=8, embedder="colours")
clustered: pd.DataFrame = history.imagen.clusters(6, embedder="tiny")
relatives: pd.DataFrame = history.imagen.lineage()
alike = history.imagen.duplicates(near="look", alike=0.99)
given: pd.DataFrame = history.imagen.export("boats", format="imagefolder")
study: im.Study = im.optimize(
    {"prompt": "a {red|blue} boat", "steps": (2, 8), "guidance": [2.5, 3.5]},
    score="clip",
    trials=20,
    seeds=range(3),
    name="boats",
    backend="flux-tiny-local",
    size=(128, 128),
)
study = im.optimize({"prompt": "a boat", "steps": (2, 8)}, score=lambda one: one.record.steps or 0)
study = im.optimize(
    {"prompt": "a boat", "steps": [2, 8]}, score=["clip", "latency_ms"], goals={"clip": "max"}
)
study = im.optimize(name="boats", ask=lambda several: [0.0] * len(several))
study = study.resume(4, progress=False)
tried: pd.DataFrame = study.frame()
best: pd.Series[Any] = study.best
best_of_both: pd.DataFrame = study.front()
given = history.imagen.export("set", "kohya", captions="{prompt}, flat", repeats=10)
given = history.imagen.export("set", "parquet", split={"train": 0.9, "test": 0.1}, size=512)
lora: Path = im.train_lora("set", "boats.safetensors")
lora = im.train_lora(
    Path("set"), "x.safetensors", model="tiny", steps=9, preview_prompts=["a boat"]
)
picture = im.generate("a red boat", loras=(lora, 0.8))
page: Path = im.report(history, "boats.html", title="Boats", pictures=100)

# Pictures of one's own pipelines.
im.autolog()
im.autolog(tags=["exp-3"], cloud=False)
im.autolog(disable=True)

# In a notebook.
gallery: im.Gallery = im.Gallery(history, size=160, columns=4)
chosen: pd.DataFrame = gallery.selected
left: pd.DataFrame = gallery.visible
gallery.close()
compared: im.Compare = im.Compare(picture, frame.iloc[0])

# Judging.
votes = pd.DataFrame({"left": ["a"], "right": ["b"], "outcome": ["tie"]})
ranked: pd.DataFrame = im.ranking(frame, votes=votes, question="which?", voter="ada")
ranked = im.ranking(frame, by="rating")
duel: im.Duel = im.Duel(frame, "which is calmer?", voter="ada", first=None, within=None)
ranked = im.Duel(history).ranking()
votes = duel.votes
duel.close()
agreed: pd.DataFrame = im.agreement(frame, votes=votes, question="which?")

# A session of one's own.
studio: im.Studio = im.configure(backend="auto", output={"dir": "~/pictures"})
with im.Studio({"steps": 4}, config=Path("imagen.yaml"), background=False) as own:
    picture = own.generate("a red boat")
    pictures = own.sweep("a red boat", seeds=[1, 2])
    report = own.sync()
    waiting = own.pending()
    found: pd.DataFrame = own.history(since="7d", size=(128, 128), source="merged")
    own.cancel()
own.close()

# Widgets.
panel = im.Panel()
panel = im.Panel(studio)
panel.prompt = "a red boat"
panel.steps = 4
panel.take(picture, "seed")
panel.use_as_init_image(picture)
panel.draw()
panel.cancel()
panel.resume()
drawn: im.Pictures = panel.pictures
panel.close()

# Errors: one tree.
errors: list[type[im.ImagenError]] = [
    im.BackendError,
    im.Cancelled,
    im.CloudError,
    im.ConfigError,
    im.StorageError,
    im.UsageError,
]
try:
    im.generate("")
except im.UsageError as error:
    code: int = error.exit_code
    bad_value: ValueError = error

# What must not pass: each of these lines is an error of the type checker.
im.generate("a boat", seed="11")  # type: ignore[call-overload]
im.sweep("a boat", seeds="1..8")  # type: ignore[arg-type]
picture.path = path  # type: ignore[misc]
im.Gallery(history, size="large")  # type: ignore[arg-type]
im.Duel(history, first="3")  # type: ignore[arg-type]
im.sync(timeout="5")  # type: ignore[arg-type]
im.autolog(output="pictures")  # type: ignore[call-arg]
im.nothing_like_that()  # type: ignore[attr-defined]

# Batches.
results: pd.DataFrame = im.run_batch(
    "jobs.csv", "mine.ipynb", "runs", workers=2, retry=1, limit=10, timeout=60.0, dask="tcp://a:1"
)
results = im.run_batch([{"prompt": "a red boat", "seed": 11}])
results = im.run_batch({"prompts": ["{red|blue} boat"], "seeds": "1..4"}, fail_fast=True)
results = im.run_batch(pd.DataFrame({"prompt": ["a"]}), output=Path("runs"), warm=False)
im.glue(picture)
im.glue([picture, picture])
