"""What verification comes to: what disagrees, what could not be checked and why, how much was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Verification"]


@dataclass
class Verification:
    """What came of it.

    Attributes
    ----------
    disagreements : list of str
        One line each: what, where, what is written, what the evidence gives.
    unchecked : list of str
        What could not be recomputed or checked, and why. It is no pass.
    counts : Counter
        How much was checked, whether it agrees or not: ``numbers`` of the report that were recomputed from
        evidence, ``findings``, ``files``; ``in the report``, all its numbers.
    """

    disagreements: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def agrees(self) -> bool:
        """Whether nothing that was checked disagrees."""
        return not self.disagreements

    def differ(self, lines: Sequence[str], **checked: int) -> None:
        """Take what disagrees, and how much was checked."""
        self.disagreements += [line for line in lines if line not in self.disagreements]
        self.counts.update(checked)

    def leave(self, *lines: str) -> None:
        """Take what was not checked."""
        self.unchecked += [line for line in lines if line not in self.unchecked]
