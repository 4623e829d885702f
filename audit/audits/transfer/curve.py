"""Learning curves of a probe: what a head on given features gets wrong, by seed and number of training texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.probe import linear_probe
from audit.view import Item, NotMeasurable

__all__ = ["LEAST", "doublings", "probe_errors", "subsamples"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

LEAST = 16  # texts of the smallest size, where there are enough
EACH = 2  # texts of every class in it


def doublings(items: Sequence[Item]) -> list[int]:
    """Sizes of a learning curve: doublings up to all texts, the last step never below a factor of √2.

    Raises
    ------
    NotMeasurable
        If the texts are too few for two sizes, or of one class.

    Examples
    --------
    >>> doublings([Item(id=str(n), cluster=str(n), text="x", label="ab"[n % 2]) for n in range(600)])
    [16, 32, 64, 128, 256, 600]
    """
    classes, total = len({item.label for item in items}), len(items)
    if classes < 2:
        raise NotMeasurable("transfer", f"all {total} training texts are of one class")
    least = EACH * classes
    if total < 2 * least:
        raise NotMeasurable("transfer", f"{total} training texts are too few for a curve; {2 * least} are the least")
    sizes = [max(least, min(LEAST, total // 2))]
    while 2 * sizes[-1] * 2**0.5 <= total:
        sizes.append(2 * sizes[-1])
    return [*sizes, total]


def subsamples(items: Sequence[Item], sizes: Sequence[int], seed: int) -> list[Rows]:
    """Draw nested training sets: whole clusters, classes in their shares, two clusters of every class first.

    Parameters
    ----------
    items : sequence of Item
        Labelled texts.
    sizes : sequence of int
        Growing. A set ends with the cluster that reaches its size, or later: it holds every class.
    seed : int
        The same seed draws the same sets, for whichever arm.

    Returns
    -------
    list of ndarray of int
        Rows of ``items``, one array a size; each begins with the one before.
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        members.setdefault(item.cluster, []).append(row)
    classes: dict[str, list[str]] = {}
    for cluster, rows in members.items():
        classes.setdefault(Counter(str(items[row].label) for row in rows).most_common(1)[0][0], []).append(cluster)
    place: dict[str, tuple[bool, float]] = {}
    for label in sorted(classes):
        of_class, offset = sorted(classes[label]), rng.random()
        for rank, number in enumerate(rng.permutation(len(of_class))):
            place[of_class[number]] = (rank >= EACH, (rank + offset) / len(of_class))
    order = sorted(members, key=place.__getitem__)
    first: dict[str | None, int] = {}
    for number, cluster in enumerate(order):
        for row in members[cluster]:
            first.setdefault(items[row].label, number)
    whole = np.array([row for cluster in order for row in members[cluster]])
    reached = np.cumsum([len(members[cluster]) for cluster in order])
    last = [min(int(np.searchsorted(reached, size)), len(reached) - 1) for size in sizes]
    return [whole[: reached[max(one, *first.values())]] for one in last]


def probe_errors(
    train: Array, labels: Sequence[str], test: Array, truth: Sequence[str], drawn: Sequence[Rows]
) -> Array:
    """Fit a linear probe to every training set, and ask it the test.

    Parameters
    ----------
    train, test : ndarray, shapes (n_train, d), (n_test, d)
        Features.
    labels, truth : sequence of str
    drawn : sequence of ndarray of int
        Rows of ``train``, as `subsamples` draws them; each holds two classes.

    Returns
    -------
    ndarray, shape (len(drawn), n_test)
        1 where the probe is wrong, else 0.
    """
    known, asked = np.asarray(labels), np.asarray(truth)
    fitted = [linear_probe().fit(train[rows], known[rows]) for rows in drawn]
    return np.stack([(one.predict(test) != asked).astype(np.float64) for one in fitted])
