"""A view for tests of features: it looks up the vectors that were planted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.view import Item, Kind, NotMeasurable

__all__ = ["Space"]

Array = NDArray[np.float64]


@dataclass
class Space:
    """A view that looks up the vector of what an item says (of both texts of a pair), and only that."""

    vectors: dict[str, Array]
    unread: frozenset[str] = frozenset()  # texts that are two unknown tokens; the others are two that are known
    id: str = "space"
    kind: Kind = "sentence_encoder"
    labels: tuple[str, ...] = ()

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer with what was planted."""
        if question in ("token_ids", "unknown_tokens") and self.unread:
            lost = np.array([item.text in self.unread for item in items])
            return 2.0 * lost if question == "unknown_tokens" else np.where(lost, 0.0, 1.0)[:, None].repeat(2, axis=1)
        if question not in ("embedding", "masked_log_likelihood"):
            raise NotMeasurable(question, "not here")
        if items and items[0].pair is not None:
            return np.stack([[self.vectors[text] for text in item.pair or ()] for item in items])
        return np.stack([self.vectors[item.text or item.image or ""] for item in items])

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say nothing."""
        return ""
