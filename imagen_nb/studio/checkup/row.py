"""One answer of a checkup."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "missing", "wrong"]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """What one check found.

    `state`: missing is what one may do without, wrong what is there and does not work.
    `what`: what there is. `mend`: the line that mends it; "" where all is well.
    `needed`: whether nothing can be drawn or kept while it is wrong.
    """

    name: str
    state: State
    what: str
    mend: str = ""
    needed: bool = False

    @property
    def stops_drawing(self) -> bool:
        """Whether nothing can be drawn or kept because of it."""
        return self.needed and self.state == "wrong"
