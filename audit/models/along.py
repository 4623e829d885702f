"""Reading along: from one pass over texts, what a causal model expected at every token of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from audit.models.batch import Progress, in_batches, padded, token_budget
from audit.models.network import Words, logsumexp_in_place
from audit.models.score import windowed

__all__ = ["KEPT", "LastRead", "Read", "filled", "read_along", "sketches_after"]

Array = NDArray[np.float64]
Places = NDArray[np.int64]

PLACES = 8  # of a text at which the whole distribution is looked at
CELLS = 4096  # token id modulo this; SmolLM2's sketches show 89 to 94 % of a divergence (77 to 85 % with 1024)
FAINTEST = -100.0  # nats; what is less likely counts as this, an empty cell too
KEPT = 512  # texts whose sketches are remembered: 128 KiB each


@dataclass(frozen=True)
class Read:
    """What reading one text told.

    Attributes
    ----------
    nats : tuple of ndarray, one a window
        Log-probability of each token.
    likeliest : ndarray of bool, shape (tokens,)
        Whether no other token was likelier.
    sketch : ndarray of float32, shape (PLACES, CELLS), or None
    """

    nats: tuple[Array, ...]
    likeliest: NDArray[np.bool_]
    sketch: NDArray[np.float32] | None

    @property
    def total(self) -> float:
        """Log-likelihood of the text, summed token by token as `log_likelihoods` sums it: the same to the last bit."""
        total = 0.0
        for part in self.nats:
            total += float(np.cumsum(part)[-1])
        return total


@dataclass(frozen=True)
class LastRead:
    """The texts that a view last read along, for the next question about the same ones; ``id`` is the view's."""

    id: str = ""
    reads: dict[str, Read] = field(default_factory=dict)

    def of(self, id: str, texts: Sequence[str], sketch: bool = False) -> dict[str, Read]:
        """What was read, if it was exactly these texts and all that is wanted of them; else nothing."""
        same = id == self.id and self.reads.keys() == set(texts)
        return self.reads if same and not (sketch and any(r.sketch is None for r in self.reads.values())) else {}


@dataclass(frozen=True)
class _Row:
    """Tokens that are fed, those that follow the last of them, and positions at which distributions are sketched."""

    fed: Sequence[int]
    targets: Sequence[int]
    sketched: Places


def read_along(
    words: Words,
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    start: Sequence[int],
    size: int,
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
    sketch: bool = True,
) -> list[Read]:
    """Read texts from a start token on, the long ones in windows.

    Parameters
    ----------
    words : Words
        Of a causal model.
    texts : sequence of str
        What draws the places.
    ids : sequence of token ids
        Of each text, at least one.
    start : sequence of int
        What stands before a text.
    size : int
        Tokens of a text that are read at once.
    pad : int
    progress : callable, optional
    alike : bool
        The model minds what else is in its batch: only sequences of one length share it.
    sketch : bool
        Whether distributions are looked at.

    Returns
    -------
    list of Read
    """
    rows: list[_Row] = []
    owners: list[tuple[int, Places]] = []  # a row's text, and which of its places the row holds
    for number, (text, tokens) in enumerate(zip(texts, ids, strict=True)):
        drawn = drawn_places(text, len(tokens)) if sketch else np.empty(0, dtype=np.int64)
        done = 0
        for one in windowed(start, tokens, size):
            scored = len(one.ids) - one.start
            inside = np.flatnonzero((drawn >= done) & (drawn < done + scored))
            rows.append(_Row(one.ids[:-1], one.ids[one.start :], drawn[inside] - done + one.start - 1))
            owners.append((number, inside))
            done += scored
    told = _tell(words, rows, pad, progress, alike)
    nats: list[list[Array]] = [[] for _ in texts]
    likeliest: list[list[NDArray[np.bool_]]] = [[] for _ in texts]
    sketches = [np.empty((PLACES, CELLS), dtype=np.float32) if sketch else None for _ in texts]
    for (number, inside), (own, best, cells) in zip(owners, told, strict=True):
        nats[number].append(own)
        likeliest[number].append(best)
        whole = sketches[number]
        if whole is not None:
            whole[inside] = cells
    return [
        Read(tuple(own), np.concatenate(best), cells)
        for own, best, cells in zip(nats, likeliest, sketches, strict=True)
    ]


def sketches_after(
    words: Words,
    prompts: Sequence[Sequence[int]],
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> Array:
    """Sketch what a causal model expects after prompts.

    Parameters
    ----------
    words : Words
    prompts : sequence of token ids
    pad : int
    progress : callable, optional
    alike : bool
        See `read_along`.

    Returns
    -------
    ndarray, shape (n, 1, CELLS)
    """
    rows = [_Row(ids, [], np.array([len(ids) - 1])) for ids in prompts]
    return np.stack([cells for _, _, cells in _tell(words, rows, pad, progress, alike)]).astype(np.float64)


def drawn_places(text: str, tokens: int) -> Places:
    """Draw the tokens of a text before which the distribution is sketched; the text itself is the seed.

    Returns
    -------
    ndarray of int, shape (PLACES,)
        All different if there are as many tokens; a shorter text repeats its own, each as often as any other or once
        more.
    """
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.resize(np.random.default_rng(seed).permutation(tokens), PLACES)


def filled(reads: Sequence[Read], longest: int) -> Array:
    """Tokens of texts side by side: nats, and whether it was the likeliest; filled up with 0 and -1.

    Returns
    -------
    ndarray, shape (n, longest, 2)
    """
    answer = np.tile([0.0, -1.0], (len(reads), longest, 1))
    for row, read in zip(answer, reads, strict=True):
        row[: len(read.likeliest), 0] = np.concatenate(read.nats)
        row[: len(read.likeliest), 1] = read.likeliest
    return answer


def _tell(
    words: Words, rows: Sequence[_Row], pad: int, progress: Progress | None, alike: bool
) -> list[tuple[Array, NDArray[np.bool_], NDArray[np.float32]]]:
    """Of each row: nats of its targets, whether they were the likeliest, sketches at its places."""
    answer: list[tuple[Array, NDArray[np.bool_], NDArray[np.float32]]] = []
    answer += [(np.empty(0), np.empty(0, dtype=bool), np.empty((0, CELLS), dtype=np.float32))] * len(rows)

    def work(batch: list[int]) -> None:
        chosen = [rows[i] for i in batch]
        ids, mask = padded([row.fed for row in chosen], pad, words.model.device)
        before = np.arange(len(chosen)) * ids.shape[1]
        scored = [
            b + np.arange(len(row.fed) - len(row.targets), len(row.fed)) for b, row in zip(before, chosen, strict=True)
        ]
        drawn = [b + row.sketched for b, row in zip(before, chosen, strict=True)]
        at = np.unique(np.concatenate([*scored, *drawn]))
        tokens = np.zeros(len(at), dtype=np.int64)
        tokens[np.searchsorted(at, np.concatenate(scored))] = np.concatenate([row.targets for row in chosen])
        looked = np.unique(np.concatenate(drawn))
        nats, best, cells = _look(words, ids, mask, at, tokens, np.isin(at, looked))
        for i, own, places in zip(batch, scored, drawn, strict=True):
            which = np.searchsorted(at, own)
            answer[i] = (nats[which], best[which], cells[np.searchsorted(looked, places)])

    in_batches([len(row.fed) for row in rows], work, progress, budget=token_budget(words.model.device), alike=alike)
    return answer


def _look(
    words: Words,
    ids: torch.Tensor,
    mask: torch.Tensor,
    at: Places,
    tokens: Places,
    looked: NDArray[np.bool_],
) -> tuple[Array, NDArray[np.bool_], NDArray[np.float32]]:
    """At positions of a batch: nats of a token, whether it was the likeliest; sketches at those that are looked at."""
    device = ids.device
    wanted, asked = torch.from_numpy(tokens).to(device), torch.from_numpy(looked).to(device)
    nats, best, cells = [], [], []
    for begin, logits in words.logits(ids, mask, torch.from_numpy(at).to(device)):
        own = logits.gather(1, wanted[begin : begin + len(logits), None])[:, 0]
        here = asked[begin : begin + len(logits)]
        best.append(own == logits.amax(-1))
        sums = _in_cells(logits[here])
        totals = logsumexp_in_place(logits)
        nats.append(own - totals)
        cells.append((sums - totals[here, None]).clamp_min(FAINTEST))
    return (
        torch.cat(nats).double().cpu().numpy(),
        torch.cat(best).cpu().numpy(),
        torch.cat(cells).cpu().numpy(),
    )


def _in_cells(logits: torch.Tensor) -> torch.Tensor:
    """Logsumexp over the tokens of each cell, shape (m, vocabulary) -> (m, CELLS)."""
    rows = -(-logits.shape[1] // CELLS)
    whole = torch.nn.functional.pad(logits, (0, rows * CELLS - logits.shape[1]), value=-torch.inf)
    return whole.view(-1, rows, CELLS).logsumexp(1)
