"""How far the features moved, layer by layer: unbiased CKA, which forgives rotations, beside drift that does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audit.audits.forgetting.features import once
from audit.audits.forgetting.readable import readable
from audit.audits.gap.placed import Sample
from audit.retention import FeatureDrift, Where
from audit.view import Item, NotMeasurable, View

__all__ = ["LARGEST", "aligned", "feature_drift", "hsic", "linear_cka"]

LARGEST = 1000  # items whose similarities are compared exactly, all with all
SPREAD = 1e-6  # of features about their mean, relative to their size: below it, what varies is rounding

Array = NDArray[np.float64]


def feature_drift(base: View, adapted: View, items: Sequence[Item], where: Where) -> list[FeatureDrift]:
    """Measure how far the features of every layer moved.

    Parameters
    ----------
    base, adapted : View
        Answer ``layer_means``; where one does not, ``embedding`` counts as the only layer.
    items : sequence of Item
        Texts that the base's tokenizer can read, or images, each counted once; of more than 1,000, every so-manieth in
        the order of what they say.
    where : {"general", "in domain"}

    Returns
    -------
    list of FeatureDrift
        One a layer. This is no finding: no interval, and no verdict.

    Raises
    ------
    NotMeasurable
        If there are fewer than four distinct items, the sides' features differ in shape, or those of a layer of the
        base are all 0.
    """
    asked = once(readable(base, Sample.of(items).items)[0])[0]
    if len(asked) < 4:
        raise NotMeasurable("layer_means", f"{len(asked)} distinct items; similarities are compared from four on")
    if len(asked) > LARGEST:
        asked = [asked[row] for row in np.linspace(0, len(asked) - 1, LARGEST).round().astype(int)]
    before, after = _layers(base, adapted, asked)
    drift = []
    for layer in range(before.shape[1]):
        x, y = before[:, layer], after[:, layer]
        if not x.any():
            raise NotMeasurable("layer_means", f"the base's features of layer {layer} are all 0")
        cosine, relative, rotated = aligned(x, y)
        drift.append(
            FeatureDrift(
                layer=layer, where=where, cka=linear_cka(x, y), cosine=cosine, relative=relative, rotated=rotated
            )
        )
    return drift


def _layers(base: View, adapted: View, items: Sequence[Item]) -> tuple[Array, Array]:
    """Features of both sides, shape (n, layers, d) each."""
    try:
        before, after = base.ask("layer_means", items), adapted.ask("layer_means", items)
    except NotMeasurable:
        before, after = base.ask("embedding", items)[:, None], adapted.ask("embedding", items)[:, None]
    if before.shape != after.shape or before.ndim != 3:
        raise NotMeasurable("layer_means", f"the sides have features of shape {before.shape} and {after.shape}")
    return before, after


def linear_cka(x: ArrayLike, y: ArrayLike) -> float | None:
    """Compare the similarities within two tables of features: unbiased linear centred kernel alignment.

    Parameters
    ----------
    x, y : array_like, shape (n, d) each
        Rows are the same n ≥ 4 items; the widths may differ.

    Returns
    -------
    float or None
        1: the same up to rotation and scale; around 0, on either side: unrelated. None where a side has collapsed:
        what varies in it is rounding, or all items but one are alike, so that no pair is nearer than another.

    Notes
    -----
    HSIC1(K, L) / √(HSIC1(K, K)·HSIC1(L, L)) of the Gram matrices. With the biased HSIC of the first papers, independent
    features are alike: at 64 items of 384 features .86, and it shrinks only as items outnumber features.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 3))
    >>> linear_cka(x, x), round(linear_cka(x, -2 * x[:, ::-1] + 5), 6), linear_cka(x, np.ones((40, 3)))
    (1.0, 1.0, None)
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    grams = []
    for side in (first, second):
        largest = np.abs(side).max()
        if not 0 < largest < np.inf:
            return None
        scaled = side / largest
        centred = scaled - scaled.mean(axis=0)
        if not np.linalg.norm(centred) > SPREAD * np.linalg.norm(scaled):
            return None
        centred /= np.linalg.norm(centred)  # features that all but collapsed keep a kernel that is a number
        grams.append(centred @ centred.T)
    own = hsic(grams[0], grams[0]), hsic(grams[1], grams[1])
    if min(own) <= (SPREAD / len(first)) ** 2:  # of kernels whose trace is 1
        return None
    return 1.0 if np.array_equal(first, second) else float(hsic(*grams) / np.sqrt(own[0] * own[1]))


def hsic(first: Array, second: Array) -> float:
    """Unbiased estimate of the Hilbert-Schmidt independence criterion from two Gram matrices, shape (n, n), n ≥ 4.

    Notes
    -----
    HSIC1 of Song et al. (Journal of Machine Learning Research 13, 2012), with the diagonals of K and L set to 0:
    [<K, L> + 1'K1·1'L1/((n - 1)(n - 2)) - 2/(n - 2)·(K1)'(L1)] / (n(n - 3)).
    """
    n = len(first)
    k, m = (gram - np.diag(np.diag(gram)) for gram in (first, second))
    of_k, of_m = k.sum(axis=1), m.sum(axis=1)
    total = np.vdot(k, m) + of_k.sum() * of_m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (of_k @ of_m)
    return float(total / (n * (n - 3)))


def aligned(base: ArrayLike, adapted: ArrayLike) -> tuple[float, float, float]:
    """Compare features that share their coordinates.

    Parameters
    ----------
    base, adapted : array_like, shape (n, d) each

    Returns
    -------
    cosine : float
        Mean over items; a vector that is all 0 has none with any other.
    relative : float
        Distance of the two tables over the size of the base's (Frobenius).
    rotated : float
        The same after the orthogonal map of the adapted side that makes it smallest (Procrustes).

    Notes
    -----
    Over orthogonal Q the least ||A Q - B||² is ||A||² + ||B||² - 2·(sum of the singular values of A'B); Schönemann,
    Psychometrika 31 (1966).

    Examples
    --------
    A quarter turn in the plane:

    >>> turned = [round(float(x), 6) for x in aligned([[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [-2.0, 0.0]])]
    >>> turned
    [0.0, 1.414214, 0.0]
    """
    b, a = np.asarray(base, dtype=np.float64), np.asarray(adapted, dtype=np.float64)
    size = float(np.linalg.norm(b))
    lengths = np.linalg.norm(b, axis=1) * np.linalg.norm(a, axis=1)
    same = (a == b).all(axis=1)  # exactly 1, where the root would say .9999999999999999
    cosines = np.where(same, 1.0, np.einsum("nd,nd->n", a, b) / np.maximum(lengths, np.finfo(np.float64).tiny))
    relative = float(np.linalg.norm(a - b)) / size
    nuclear = float(np.linalg.svd(_smaller(a, b), compute_uv=False).sum())
    left = float(np.linalg.norm(a)) ** 2 + size**2 - 2 * nuclear
    return float(cosines.mean()), relative, min(relative, float(np.sqrt(max(0.0, left))) / size)


def _smaller(a: Array, b: Array) -> Array:
    """Return a matrix with the singular values of a'b that is no larger than it must be: (d, d), or (n, n)."""
    if len(a) >= a.shape[1]:
        return a.T @ b
    of_a, of_b = (np.linalg.qr(side.T)[1] for side in (a, b))
    product: Array = of_a @ of_b.T
    return product
