"""Base to adapted model: one file a method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.adapt.head import fit_head
from audit.adapt.train import train
from audit.models.ask import Readout
from audit.models.batch import Progress
from audit.models.source import Source
from audit.recipe import Full, Head, Lora
from audit.view import Item, Kind

__all__ = ["adapt"]


def adapt(
    base: Source,
    kind: Kind,
    method: Head | Full | Lora,
    items: Sequence[Item],
    readout: Readout,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> int:
    """Adapt a base to labelled texts and write the result.

    Parameters
    ----------
    base : Source
    kind : {"encoder", "causal"}
    method : Head, Full or Lora
        As the recipe declares it.
    items : sequence of Item
        Training texts with labels.
    readout : Readout
        Label names in order, and the prompt of a causal base.
    seed : int
    folder : Path
        Exists and is empty; receives a checkpoint or an adapter, with its tokenizer.
    progress : callable, optional

    Returns
    -------
    int
        Number of trained parameters.
    """
    if isinstance(method, Head):
        return fit_head(base, method, items, readout.labels, seed, folder, progress)
    return train(base, kind, method, items, readout, seed, folder, progress)
