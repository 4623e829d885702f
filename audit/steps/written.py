"""What a stage writes into its folder: findings, limits, a floor, and the scores of single items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.finding import Finding
from audit.view import Item

__all__ = ["PRECISE", "Evidence", "finish", "higher", "rows"]

Array = NDArray[np.float64]
PRECISE = "the base in float32"


class Evidence:
    """Scores of single items, as they come out of an audit."""

    def __init__(self, seed: int | None) -> None:
        self.tables: list[pd.DataFrame] = []
        self._seed = seed

    def keep(self, question: str, items: Sequence[Item], base: Array, adapted: Array) -> None:
        """Keep what both sides scored."""
        self.keep_arm("base", question, items, base)
        self.keep_arm("adapted", question, items, adapted)

    def keep_arm(self, arm: str, question: str, items: Sequence[Item], values: Array) -> None:
        """Keep what one arm scored."""
        self.tables.append(
            pd.DataFrame(
                {
                    "item_id": [item.id for item in items],
                    "cluster": [item.cluster for item in items],
                    "arm": arm,
                    "seed": self._seed,
                    "question": question,
                    "value": values,
                    "text": [_said(item) for item in items],
                }
            )
        )

    def write(self, folder: Path) -> None:
        """Write ``evidence.parquet``, if there is any."""
        if self.tables:
            pd.concat(self.tables, ignore_index=True).to_parquet(folder / "evidence.parquet", index=False)


def _said(item: Item) -> str:
    return item.text or item.prompt or item.image or json.dumps(item.pair)


def finish(folder: Path, found: Sequence[Finding], limits: Sequence[str] = (), **extra: Any) -> None:
    """Write ``result.json``."""
    result = {"findings": [one.model_dump(mode="json") for one in found], "limits": list(limits), **extra}
    (folder / "result.json").write_text(json.dumps(result))


def higher(floor: Mapping[str, float], null: Sequence[Finding]) -> dict[str, float]:
    """Raise a floor to the change that an audit finds between the base and a null copy of it."""
    raised = dict(floor)
    for one in null:
        if one.change is not None:
            raised[one.id] = max(raised.get(one.id, 0.0), abs(one.change.value))
    return raised


def rows(floor: Mapping[str, float], copies: str) -> list[dict[str, Any]]:
    """Return a floor as the report lists it."""
    return [{"finding": name, "floor": value, "copies": copies} for name, value in floor.items()]
