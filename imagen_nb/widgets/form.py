"""What a person sets in a Panel: traits, which the page and Python share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from traitlets import Bool, Float, HasTraits, Int, List, TraitError, Unicode

from imagen_nb.errors import UsageError
from imagen_nb.request.request import random_seed
from imagen_nb.request.sweep import expanded_prompts
from imagen_nb.request.validation import short_repr
from imagen_nb.request.wildcards import NO_WILDCARDS

MAX_COUNT = 100
_MAX_PICTURES_PER_CLICK = 1000


class Form(HasTraits):
    """The settings of what is drawn next.

    `tags` are comma-separated. `true_cfg`: None is off, or the default where there is a
    negative prompt. `scheduler`: "" is the model's own. `loras`: [file, weight] pairs.
    `one_per_line`: each line of the prompt is a prompt of its own.
    """

    prompt = Unicode().tag(sync=True)
    one_per_line = Bool(False).tag(sync=True)
    backend = Unicode().tag(sync=True)
    width = Int().tag(sync=True)
    height = Int().tag(sync=True)
    steps = Int().tag(sync=True)
    guidance = Float().tag(sync=True)
    seed = Int().tag(sync=True)
    lock_seed = Bool(False).tag(sync=True)
    count = Int(1).tag(sync=True)
    tags = Unicode().tag(sync=True)
    cloud = Bool(False).tag(sync=True)
    negative_prompt = Unicode().tag(sync=True)
    true_cfg = Float(None, allow_none=True).tag(sync=True)
    strength = Float(0.6).tag(sync=True)
    scheduler = Unicode().tag(sync=True)
    loras: Any = List().tag(sync=True)

    wildcards = NO_WILDCARDS  # of the prompt
    _settling = False  # several are set at once, which belong together already

    @contextmanager
    def settle(self) -> Iterator[None]:
        """Set several without one of them changing another."""
        before, self._settling = self._settling, True
        try:
            with self.hold_trait_notifications():
                yield
        finally:
            self._settling = before

    @property
    def settling(self) -> bool:
        """Whether several are set at once."""
        return self._settling

    def fill(self, values: Mapping[str, Any]) -> None:
        """Set what a page says, as it stands there; raise `UsageError` for nonsense."""
        with self.settle():
            for name, value in values.items():
                if name in FORM_NAMES:
                    self._fill(name, value)

    def _fill(self, name: str, value: Any) -> None:
        try:
            setattr(self, name, value)
        except TraitError:
            raise UsageError(f"{name} cannot be {short_repr(value)}") from None

    def roll(self) -> None:
        """Set another seed, and leave the lock as it is."""
        with self.settle():
            self.seed = random_seed()

    def tag_names(self) -> list[str]:
        """Return the tags."""
        return [tag.strip() for tag in self.tags.split(",") if tag.strip()]

    def prompts(self) -> list[str]:
        """Return the prompts to draw: lines, if each is one, their braces expanded.

        Wildcards stand for braces.

        Raises `UsageError` for what is no prompt, or braces without a partner.
        """
        text = self.prompt
        if not self.one_per_line:
            return expanded_prompts(text, self.wildcards)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return expanded_prompts(lines or text, self.wildcards)

    def describe_count(self) -> tuple[int, str]:
        """Return how many pictures would be drawn, and how they come about; 0 for none."""
        try:
            prompts, seeds = len(self.prompts()), self.count
            self.require_count()
        except UsageError:
            return 0, ""
        total = prompts * seeds
        if prompts == 1:
            return total, ""
        by_seeds = f" × {seeds} seeds" if seeds > 1 else ""
        return total, f"{prompts} prompts{by_seeds}"

    def require_count(self) -> None:
        """Raise `UsageError` for a count out of range, or too many pictures by it."""
        count = self.count
        if not 1 <= count <= MAX_COUNT:
            raise UsageError(f"count must be from 1 to {MAX_COUNT}, not {count}")
        with suppress(UsageError):  # that is said beside the prompt
            count *= len(self.prompts())
        if count > _MAX_PICTURES_PER_CLICK:
            raise UsageError(
                f"these are {count:,} pictures, more than {_MAX_PICTURES_PER_CLICK:,} "
                "at once: take fewer alternatives or a smaller count"
            )


FORM_NAMES = tuple(Form.class_own_traits())
