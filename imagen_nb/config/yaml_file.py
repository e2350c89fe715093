"""The file imagen.yaml: reading it with line numbers, and the commented template."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imagen_nb.errors import ConfigError
from imagen_nb.system.atomic import PRIVATE_MODE, move_to_new_name, temporary_file
from imagen_nb.system.spelling import nearest_name
from imagen_nb.system.yaml_text import parse_yaml

YAML_TEMPLATE = """\
# imagen_nb: every key is optional. Arguments win over the environment, that over this file.
# Each key has its variable: IMAGEN_ and the key, as in IMAGEN_STEPS or IMAGEN_OUTPUT_DIR; those in
# brackets are named otherwise. What is empty counts as not given.

# What draws: auto, flux-tiny-local, flux-schnell-local, flux-dev-local, flux-schnell-replicate,
# flux-dev-replicate, or your own folder of FLUX layout as {type: flux, model: /path/to/folder}.
# `imagen models` lists them.
#backend: auto

# Denoising steps, where a call does not say; without it the model's own default holds.
#steps: 4
# The size in pixels; without it the model's own.
#width: 1024
#height: 1024
# The guidance scale; without it the model's own.
#guidance: 0.0

# Tags that every picture gets.
#tags: []

# Folders of LoRAs, which the Panel offers.
#lora_dirs: []

# A folder of text files: `__animal__` in a prompt of a sweep, or of the Panel, stands for
# each line of its animal.txt.
#wildcards_dir: ~/wildcards

# Show pictures in terminals that can, and as they grow in notebooks: auto, on, off.
#preview: auto

output:
  # Where pictures, their sidecars and the catalog are kept.
  #dir: ~/imagen
  # Copy pictures to your Supabase: auto (when it is configured), on, off. [$IMAGEN_CLOUD_SYNC]
  cloud_sync: auto

supabase:
  # The address of your project. [$SUPABASE_URL]
  #url: https://YOUR-PROJECT.supabase.co
  # A secret key, or a publishable key with the e-mail and password of a user. [$SUPABASE_KEY]
  #key:
  #email:
  #password:
  # The database itself, for `imagen db migrate` and fast histories: postgresql://…
  # [$SUPABASE_DB_URL]
  #database_url:
  # How long Python may wait at its exit for the last pictures to go up, in seconds.
  #exit_seconds: 5

replicate:
  # For the hosted models, from https://replicate.com/account/api-tokens [$REPLICATE_API_TOKEN]
  #api_token:
  # How long one picture may take there, in seconds.
  #timeout: 300

memory:
  # How local FLUX models are held in memory, where the plan that `imagen models --plan` explains is
  # not the one that you want. docs/models.md tells what each does.
  #plan: fast              # auto, fast: sooner, but not the same bits
  #device: cuda:1          # cpu, mps, cuda, cuda:1 ...
  #quantization: int8      # none, fp8, fp8-dynamic, int8, layerwise, nf4, gguf
  #offload: model          # none, model, group, sequential
  #pinned: true
  #text_encoders: freed    # kept, second-card, offloaded, freed
  #vae_tiling: true
  #vae_slicing: true
  #attention: auto         # auto, native, cudnn
  #fused_qkv: true
  #compile: true
  #cache: first-block      # none, first-block, taylorseer
  #first_block_cache: 0.08
  #taylorseer: 3
  #batch: 1
  #dtype: bfloat16         # bfloat16, float16, float32
  #gguf: /path/to/flux1-schnell-Q8_0.gguf

cost:
  # US dollars for a picture of a backend, where you pay another price than `imagen models` lists.
  #prices: {flux-dev-replicate: 0.025}
  # Electricity of what is drawn here: watts while drawing (nvml: what the card draws then).
  #watts: 350
  # And what it costs, in US dollars.
  #usd_per_kwh: 0.30

provenance:
  # Sign each picture that is kept (C2PA content credentials): a model made it, which one, and when.
  # `imagen config provenance` makes a key and a certificate, and writes these lines.
  #c2pa: false
  # The certificate that it is signed with, and those above it, as PEM.
  #certificate: ~/.config/imagen-provenance.pem
  # Its private key, as PEM; readable by you alone.
  #private_key: ~/.config/imagen-provenance-key.pem
  # Quote the prompt in what is signed, too; the record in the PNG has it anyway.
  #prompt: false
  # Write an invisible watermark into the pixels of pictures from 256 × 256 on: that imagen_nb drew
  # them. It survives JPEG at quality 80; needs pip install "imagen_nb[watermark]".
  #watermark: false

find:
  # What looks at pictures and reads words for `imagen find`: siglip2-base, clip-vit-base-patch32,
  # tiny, or a folder or Hugging Face id; without it, the best one whose weights are here.
  #embedder: siglip2-base
  # Look at new pictures while nothing is drawn: on; off; auto: once something was looked for.
  #background: auto

score:
  # A head on CLIP, for `df.imagen.score("aesthetic")`: LAION's, as docs/plugins.md names them.
  #aesthetic: ~/models/sac+logos+ava1-l14-linearMSE.pth

work:
  # What `imagen work` draws with for your other machines: what can draw here at no price, or these,
  # of which the first draws what names none.
  #backends: [flux-schnell-local, flux-dev-local]
  # The largest picture, and the most steps, that it draws for them.
  #max_pixels: 4194304
  #max_steps: 100
  # After so many seconds of silence another worker draws what this one had.
  #lease_seconds: 60

# Whose pictures these are, when the key is a secret one; who signs in with e-mail and password is
# known without. Find it in the SQL editor with
#   SELECT id, email FROM auth.users;
owner_user_id:
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Where something stands in a file, counted from 1."""

    number: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration, as one line of text."""

    file: str
    line: Line | None
    key: str
    expected: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line.number}" if self.line else self.file
        key = f"{self.key}: " if self.key else ""
        return f"{where}: {key}{self.expected}"


def read_yaml(path: Path) -> tuple[dict[str, Any], Mapping[str, Line], list[Problem]]:
    """Return the file's values, the line of each dotted key, and its problems."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        missing = "there is no such file; `imagen config init` writes one"
        return {}, {}, [Problem(str(path), None, "", missing)]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        return {}, {}, [Problem(str(path), None, "", f"cannot be read: {reason}")]
    try:
        node, values = parse_yaml(text)
    except yaml.YAMLError as error:
        return {}, {}, [_yaml_problem(path, text, error)]
    if values is None:
        return {}, {}, []
    if not isinstance(values, dict):
        return (
            {},
            {},
            [Problem(str(path), Line(1), "", "expected lines of `key: value`")],
        )
    lines, problems = _key_lines(path, node)
    return {str(key): value for key, value in values.items()}, lines, problems


def _yaml_problem(path: Path, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):  # it counts characters
        line = text.count("\n", 0, error.position) + 1
        return Problem(
            str(path), Line(line), "", "no YAML: a character that text cannot have"
        )
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or "cannot be read"
    column = f" at column {mark.column + 1}" if mark else ""
    return Problem(
        str(path), Line(mark.line + 1) if mark else None, "", f"no YAML: {what}{column}"
    )


def _key_lines(
    path: Path, node: yaml.Node | None
) -> tuple[dict[str, Line], list[Problem]]:
    """Return the line of each key, and a problem for each key that stands there twice."""
    lines: dict[str, Line] = {}
    problems = []
    for key, line in _dotted_keys(node):
        if first := lines.get(key):
            twice = f"stands in line {first.number} already: keep one of the two"
            problems.append(Problem(str(path), line, printable_key(key), twice))
        lines.setdefault(key, line)
    return lines, problems


def _dotted_keys(
    node: yaml.Node | None, prefix: str = ""
) -> Iterator[tuple[str, Line]]:
    """Yield dotted keys, two levels deep as settings are (an alias may hold itself)."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        yield f"{prefix}{key.value}", Line(key.start_mark.line + 1)
        if not prefix:
            yield from _dotted_keys(value, f"{key.value}.")


def is_empty(value: Any) -> bool:
    """Return whether a value counts as not given."""
    return value is None or (isinstance(value, str) and not value.strip())


def printable_key(key: str) -> str:
    """Return a key as far as it looks like one: the rest may be a secret."""
    name = re.match(r"[\w.-]{0,60}", key)
    start = name.group() if name else ""
    return key if start == key else f"{start}…"


def describe_nearest(key: str, known: Iterable[str]) -> str:
    """Return a hint at the known key that was probably meant, or all known keys."""
    names = list(known)
    last = {name.rpartition(".")[2]: name for name in names}
    close = nearest_name(key, names, similarity=0.5)
    if close is None and (likely := nearest_name(key, last)):
        close = last[likely]
    if close:
        return f"; did you mean {close}?"
    return f"; known are {', '.join(sorted(names))}"


def write_template(path: Path, *, force: bool = False) -> None:
    """Write the commented template, readable by its owner only; a link is followed.

    Raise `ConfigError` if the file exists, unless `force`, or cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(
            target.parent, YAML_TEMPLATE.encode(), PRIVATE_MODE
        ) as partial:
            if force:
                os.replace(partial, target)
            else:
                move_to_new_name(partial, target)
    except OSError as error:
        if target.is_file() and not force:
            raise ConfigError(
                f"{path} is there already: add --force to overwrite it"
            ) from None
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{path} cannot be written ({reason}): choose another place"
        ) from None
