"""The hot path: likelihoods under causal and masked models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils.memory import should_reduce_batch_size
from numpy.typing import NDArray

from audit.models.batch import Progress, in_batches, padded, token_budget
from audit.models.network import Words

__all__ = ["Scored", "hidden_log_likelihoods", "log_likelihoods", "masked_log_likelihoods", "windowed", "windows"]

Array = NDArray[np.float64]

LONGEST_ROW = 2048  # tokens of a family in one row: who sees whom is a matrix of its square


@dataclass(frozen=True)
class Scored:
    """A sequence of token ids and the first position in it that is scored, at least 1."""

    ids: Sequence[int]
    start: int


def windows(ids: Sequence[int], size: int) -> Iterator[tuple[int, int, int]]:
    """Cut a long text into windows in which every token is scored once, with half a window before it.

    Yields
    ------
    begin, end : int
        Of the window.
    first : int
        First position of the text that this window scores.

    Examples
    --------
    >>> list(windows(range(10), 4))
    [(0, 4, 0), (2, 6, 4), (4, 8, 6), (6, 10, 8)]
    >>> list(windows(range(3), 4))
    [(0, 3, 0)]
    """
    end = min(size, len(ids))
    yield 0, end, 0
    while end < len(ids):
        first, end = end, min(end + max(1, size // 2), len(ids))
        yield end - size, end, first


def windowed(start: Sequence[int], ids: Sequence[int], size: int) -> list[Scored]:
    """Put a start before a text, or before each window of one that is longer than a size.

    Examples
    --------
    >>> windowed([0], [5, 6, 7], 2)
    [Scored(ids=[0, 5, 6], start=1), Scored(ids=[0, 6, 7], start=2)]
    """
    return [Scored([*start, *ids[begin:end]], len(start) + first - begin) for begin, end, first in windows(ids, size)]


# --- causal -----------------------------------------------------------------------------------------------------------


def log_likelihoods(
    words: Words,
    families: Sequence[Sequence[Scored]],
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> list[Array]:
    """Log-likelihood in nats of each sequence from a position on, given what precedes it.

    Parameters
    ----------
    words : Words
        Of a causal model.
    families : sequence of sequences of Scored
        Sequences of one family may begin alike: the two sentences of a pair, one prompt with its options.
    pad : int
    progress : callable, optional
    alike : bool
        The model minds what else is in its batch: only sequences of one length share it, and none a row.

    Returns
    -------
    list of ndarray
        One value a sequence.

    Notes
    -----
    A family becomes one row: what its members share stands in it once, and every token sees its own predecessors
    only. The last token of a sequence predicts nothing and is not computed. That a row gives what its members give
    alone is checked on the longest one; a model that cannot be asked so is asked one member after the other.
    """
    begins = np.cumsum([0, *(len(family) for family in families)])
    trees = [_Tree(family) for family in families]
    together = not alike and _packs(words, trees, pad)
    rows: list[tuple[_Tree, int]] = []  # and where the answers of its members begin
    for tree, begin in zip(trees, begins, strict=False):
        if tree.branched and not (together and _fits(words, tree)):
            rows += [(_Tree([one]), begin + place) for place, one in enumerate(tree.family)]
        else:
            rows.append((tree, begin))
    answer = np.empty(begins[-1])
    done = 0
    for branched in (True, False):
        chosen = [row for row in rows if row[0].branched == branched]

        def work(batch: list[int], chosen: list[tuple[_Tree, int]] = chosen, branched: bool = branched) -> None:
            trees, places = zip(*(chosen[i] for i in batch), strict=True)
            for nats, begin in zip(_score(trees, words, pad, branched), places, strict=True):
                answer[begin : begin + len(nats)] = nats

        def tell(now: int, _: int, before: int = done) -> None:
            if progress:
                progress(before + now, len(rows))

        sizes = [len(tree.inputs) for tree, _ in chosen]
        in_batches(sizes, work, tell, budget=token_budget(words.model.device), alike=alike)
        done += len(chosen)
    return np.split(answer, begins[1:-1])


class _Tree:
    """A family of sequences as one row of tokens, each with its predecessor."""

    def __init__(self, family: Sequence[Scored]) -> None:
        self.inputs: list[int] = []
        self.parents: list[int] = []
        self.size = len(family)
        self.family = family
        scored: list[tuple[int, int, int]] = []  # position that predicts, token, member
        known: dict[tuple[int, int], int] = {}
        for member, one in enumerate(family):
            node = -1
            for position, token in enumerate(one.ids):
                if position >= one.start:
                    scored.append((node, token, member))
                if position == len(one.ids) - 1:
                    break
                child = known.setdefault((node, token), len(self.inputs))
                if child == len(self.inputs):
                    self.inputs.append(token)
                    self.parents.append(node)
                node = child
        self.scored = np.array(scored)
        self.branched = self.parents != list(range(-1, len(self.parents) - 1))

    def sees(self) -> NDArray[np.bool_]:
        """Which position sees which, shape (length, length)."""
        seen = np.zeros((len(self.inputs), len(self.inputs)), dtype=bool)
        for position, parent in enumerate(self.parents):
            if parent >= 0:
                seen[position] = seen[parent]
            seen[position, position] = True
        return seen


def _score(trees: Sequence[_Tree], words: Words, pad: int, branched: bool) -> list[Array]:
    device = words.model.device
    ids, mask = padded([tree.inputs for tree in trees], pad, device)
    depths = None
    if branched:
        length = ids.shape[1]
        sees = np.zeros((len(trees), length, length), dtype=bool)
        sees[:, :, 0] = True  # padding sees something, so that it stays finite
        for row, tree in enumerate(trees):
            sees[row, : len(tree.inputs), : len(tree.inputs)] = tree.sees()
        dtype = words.model.dtype
        mask = torch.zeros((len(trees), 1, length, length), dtype=dtype, device=device)
        mask.masked_fill_(~torch.from_numpy(sees).to(device)[:, None], torch.finfo(dtype).min)
        depths = torch.from_numpy(sees.sum(-1) - 1).to(device)
    width = ids.shape[1]
    at = np.concatenate([tree.scored[:, 0] + row * width for row, tree in enumerate(trees)])
    tokens = np.concatenate([tree.scored[:, 1] for tree in trees])
    nats = words.log_probabilities(
        ids, mask, torch.from_numpy(at).to(device), torch.from_numpy(tokens).to(device), depths
    ).numpy()
    ends = np.cumsum([len(tree.scored) for tree in trees])[:-1]
    return [
        np.bincount(tree.scored[:, 2], weights=part, minlength=tree.size).astype(np.float64)
        for tree, part in zip(trees, np.split(nats, ends), strict=True)
    ]


def _fits(words: Words, tree: _Tree) -> bool:
    """Tell whether a family is short enough for one row: who sees whom is a matrix of its length squared."""
    window = getattr(words.model.config, "sliding_window", None)
    return len(tree.inputs) <= min(LONGEST_ROW, window or LONGEST_ROW)


def _packs(words: Words, trees: Sequence[_Tree], pad: int) -> bool:
    """Tell whether one row gives what its members give alone: for the longest row, and so for all shorter ones."""
    packable = [tree for tree in trees if tree.branched and _fits(words, tree)]
    tree = max(packable, key=lambda tree: len(tree.inputs), default=None)
    if tree is None or words.packed_length is None or len(tree.inputs) <= words.packed_length:
        return words.packed_length is not None
    expected = [float(_score([_Tree([one])], words, pad, branched=False)[0][0]) for one in tree.family]
    try:
        packed = _score([tree], words, pad, branched=True)[0]
    except (ValueError, TypeError, IndexError, RuntimeError) as error:  # a model that wants masks of its own making
        if isinstance(error, RuntimeError) and should_reduce_batch_size(error):
            raise
        packed = np.full(len(expected), np.nan)
    relative, absolute = (1e-5, 1e-4) if words.model.dtype == torch.float32 else (1e-2, 0.1)
    words.packed_length = len(tree.inputs) if np.allclose(packed, expected, relative, absolute) else None
    return words.packed_length is not None


# --- masked -----------------------------------------------------------------------------------------------------------


def masked_log_likelihoods(
    words: Words,
    sequences: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    mask_token: int,
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> list[Array]:
    """Log-probability in nats of each chosen token of a text, masked one at a time (Salazar et al., ACL 2020).

    Parameters
    ----------
    words : Words
        Of a masked model.
    sequences : sequence of token ids
    positions : sequence of positions
        Those of each sequence that are scored.
    mask_token, pad : int
    progress : callable, optional
    alike : bool
        The model minds padding: only texts of one length share a batch.

    Returns
    -------
    list of ndarray
        One value a position.
    """
    asked = [(row, position) for row, chosen in enumerate(positions) for position in chosen]
    answer = np.empty(len(asked))

    def work(batch: list[int]) -> None:
        copies, tokens = [], []
        for i in batch:
            row, position = asked[i]
            ids = list(sequences[row])
            tokens.append(ids[position])
            ids[position] = mask_token
            copies.append(ids)
        ids_, mask = padded(copies, pad, words.model.device)
        at = torch.tensor([k * ids_.shape[1] + asked[i][1] for k, i in enumerate(batch)], device=ids_.device)
        answer[batch] = words.log_probabilities(ids_, mask, at, torch.tensor(tokens, device=ids_.device)).numpy()

    sizes = [len(sequences[row]) for row, _ in asked]
    in_batches(sizes, work, progress, budget=token_budget(words.model.device), alike=alike)
    ends = np.cumsum([len(chosen) for chosen in positions])[:-1]
    return np.split(answer, ends)


def hidden_log_likelihoods(
    words: Words,
    sequences: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    tokens: Sequence[Sequence[int]],
    pad: int,
    progress: Progress | None = None,
    *,
    alike: bool = False,
) -> list[Array]:
    """Log-probability in nats of tokens at positions of sequences in which they are masked already, all at once.

    Parameters
    ----------
    words : Words
        Of a masked model.
    sequences : sequence of token ids
    positions, tokens : sequence of positions, sequence of token ids
        Those of each sequence that are scored, and what stood there.
    pad : int
    progress : callable, optional
    alike : bool
        The model minds padding: only texts of one length share a batch.

    Returns
    -------
    list of ndarray
        One value a position.
    """
    answer: list[Array] = [np.empty(0)] * len(sequences)

    def work(batch: list[int]) -> None:
        ids, mask = padded([sequences[row] for row in batch], pad, words.model.device)
        at = torch.tensor([k * ids.shape[1] + place for k, row in enumerate(batch) for place in positions[row]])
        asked = torch.tensor([token for row in batch for token in tokens[row]])
        nats = words.log_probabilities(ids, mask, at.to(ids.device), asked.to(ids.device)).numpy()
        ends = np.cumsum([len(positions[row]) for row in batch])[:-1]
        for row, part in zip(batch, np.split(nats, ends), strict=True):
            answer[row] = part

    sizes = [len(one) for one in sequences]
    in_batches(sizes, work, progress, budget=token_budget(words.model.device), alike=alike)
    return answer
