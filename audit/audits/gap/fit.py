"""Label fit: how well a base's features tell the task's labels, before anything is adapted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.covariance import ledoit_wolf_shrinkage

from audit.audits import distinct
from audit.audits.gap.placed import MIN_DOCUMENTS
from audit.finding import Estimate
from audit.probe import linear_probe
from audit.scale import Scale
from audit.stats import cluster_weights, permutation_p, rng_from
from audit.view import Item, NotMeasurable

__all__ = [
    "NEVER_WRONG",
    "HScore",
    "Spectrum",
    "deal_folds",
    "h_score",
    "h_score_excess",
    "label_fit",
    "log_evidence",
    "log_evidence_at",
    "out_of_fold",
    "permuted_labels",
    "probe_hits",
]

Array = NDArray[np.float64]
Labels = Sequence[str] | NDArray[np.generic]
DRAWS = 1000
GROUPS = 20  # of clusters, left out one after the other
PERMUTATIONS = 199
NEVER_WRONG = "A classifier is never wrong: do labels stand in the text?"


# --- features, decomposed once for every measure ----------------------------------------------------------------------


@dataclass(frozen=True)
class Spectrum:
    """Features about their mean, decomposed: directions (n, k), squared singular values (k,), and Ledoit-Wolf's weight.

    Attributes
    ----------
    directions : ndarray, shape (n, k)
        Orthonormal columns; k is the rank.
    power : ndarray, shape (k,)
        Squared singular values.
    shrinkage : float
        Of the covariance towards a multiple of the identity.
    width : int
        Number of features.
    """

    directions: Array
    power: Array
    shrinkage: float
    width: int

    @classmethod
    def of(cls, features: ArrayLike) -> Spectrum:
        """Decompose features, shape (n, d).

        Raises
        ------
        NotMeasurable
            If they are not finite, or all rows are alike.
        """
        x = np.asarray(features, dtype=np.float64)
        if x.ndim != 2 or not np.isfinite(x).all():
            raise NotMeasurable("label fit", f"features of shape {x.shape} are no finite table")
        centred = x - x.mean(axis=0)
        directions, values, _ = np.linalg.svd(centred, full_matrices=False)
        kept = values > max(x.shape) * np.finfo(np.float64).eps * max(float(np.abs(x).max()) * len(x) ** 0.5, 1e-300)
        if not kept.any():
            raise NotMeasurable("label fit", "all texts are alike to this base: their features do not vary")
        scaled = centred / np.sqrt((centred**2).mean())  # so that nothing depends on the features' unit
        shrinkage = float(ledoit_wolf_shrinkage(scaled, assume_centered=True))
        return cls(directions[:, kept], values[kept] ** 2, shrinkage, x.shape[1])

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.directions)


def _indicators(labels: Labels) -> Array:
    """One column a class, shape (n, classes): 1 where the text is of the class."""
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    columns: Array = np.eye(int(codes.max()) + 1)[codes]
    return columns


# --- evidence ---------------------------------------------------------------------------------------------------------


def log_evidence_at(features: ArrayLike, targets: ArrayLike, alpha: float, beta: float) -> float:
    """Log marginal likelihood of a Bayesian linear regression with an intercept.

    Parameters
    ----------
    features : array_like, shape (n, d)
    targets : array_like, shape (n,)
    alpha, beta : float
        Precision of the weights and of the noise.

    Returns
    -------
    float
        In nats, of all n targets together; the intercept has a flat prior, so this is the density of their n - 1
        contrasts.

    Notes
    -----
    The covariance of the contrasts has the eigenvalues s²/alpha + 1/beta for each singular value s of the centred
    features, and 1/beta for what is left of n - 1: no term depends on whether n or d is larger.

    Examples
    --------
    Two targets have one contrast, (1 - 0)/√2, here of variance 2 + 1:

    >>> round(log_evidence_at([[1.0], [3.0]], [0.0, 1.0], alpha=1.0, beta=1.0), 6)
    -1.551578
    """
    spectrum = Spectrum.of(features)
    signal, rest = _rotated(spectrum, np.asarray(targets, dtype=np.float64)[:, None])
    left = spectrum.n - 1 - len(spectrum.power)
    variances = spectrum.power / alpha + 1 / beta
    logs = np.log(variances).sum() - left * np.log(beta) + (spectrum.n - 1) * np.log(2 * np.pi)
    return float(-0.5 * (logs + (signal[:, 0] / variances).sum() + beta * rest[0]))


def log_evidence(features: ArrayLike | Spectrum, targets: Labels) -> float:
    """Maximum log marginal likelihood a text of Bayesian linear regressions on labels: one class against the rest.

    Parameters
    ----------
    features : array_like, shape (n, d), or Spectrum
    targets : sequence of labels, length n

    Returns
    -------
    float
        Nats a text (of n - 1, for the intercept), mean over classes. The best precisions of weights and noise are
        found for each class.

    Notes
    -----
    The quantity of LogME (You et al., ICML 2021), exactly, and with an intercept: the two sides of a binary task agree,
    and the unit of the features does not matter. The published code sums over min(n, d) directions what belongs to
    all d, which overstates the evidence by as much as 18 nats a text where n < d.

    The signal-to-noise ratio is searched from 1e-10 to 1e10; labels that are an exact linear function of the features
    have an evidence without bound, and get that of the upper end.
    """
    spectrum = features if isinstance(features, Spectrum) else Spectrum.of(features)
    return float(_best_evidence(spectrum, _indicators(targets)).mean())


def _rotated(spectrum: Spectrum, targets: Array) -> tuple[Array, Array]:
    """Squared targets along each direction, shape (k, m), and what no direction holds, shape (m,)."""
    centred = targets - targets.mean(axis=0)
    along = (spectrum.directions.T @ centred) ** 2
    total = (centred**2).sum(axis=0)
    rest = total - along.sum(axis=0)
    if len(spectrum.power) == spectrum.n - 1:
        rest = np.zeros_like(rest)  # the directions hold everything there is
    return along, np.where(rest > 1e-13 * total, rest, 0.0)


def _best_evidence(spectrum: Spectrum, targets: Array) -> Array:
    """Largest evidence of every column of targets, in nats a text, shape (m,).

    With t the ratio of both precisions, the best noise given t is known in closed form: one variable remains. A grid
    finds the highest hill, a golden section its top.
    """
    along, rest = _rotated(spectrum, targets)
    power, dof = spectrum.power / spectrum.power.mean(), spectrum.n - 1

    def profile(log_t: Array) -> Array:  # (m,) -> (m,), each target at a ratio of its own
        gains = 1 + np.exp(log_t)[None, :] * power[:, None]
        noise = (along / gains).sum(axis=0) + rest
        height: Array = np.log(2 * np.pi * np.maximum(noise, 1e-300) / dof) + 1 + np.log(gains).sum(axis=0) / dof
        return np.multiply(-0.5, height)

    grid = np.linspace(-10, 10, 161) * np.log(10)
    gains = 1 + np.exp(grid)[:, None] * power[None, :]  # (grid, k)
    noise = np.maximum((1 / gains) @ along + rest, 1e-300)  # (grid, m)
    heights = -0.5 * (np.log(2 * np.pi * noise / dof) + 1 + np.log(gains).sum(axis=1)[:, None] / dof)
    top = heights.argmax(axis=0)
    low, high = grid[np.maximum(top - 1, 0)], grid[np.minimum(top + 1, len(grid) - 1)]
    shrink = (5**0.5 - 1) / 2
    left, right = high - shrink * (high - low), low + shrink * (high - low)
    at_left, at_right = profile(left), profile(right)
    for _ in range(45):
        falls = at_left > at_right  # the top lies in [low, right]
        low, high = np.where(falls, low, left), np.where(falls, right, high)
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        at_left, at_right = profile(left), profile(right)
    best: Array = np.maximum(profile((low + high) / 2), heights.max(axis=0))
    return best


# --- H-score ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HScore:
    """An H-score, where it lies between shuffled labels (0) and its largest value (1), and a permutation p."""

    score: float
    null: float
    excess: float
    p: float


def h_score(features: ArrayLike | Spectrum, labels: Labels) -> float:
    """How far the means of the classes lie apart, in units of the features' own spread.

    Parameters
    ----------
    features : array_like, shape (n, d), or Spectrum
    labels : sequence of labels, length n

    Returns
    -------
    float
        Between 0 and the number of classes less one.

    Notes
    -----
    tr(cov(F)⁻¹ cov(E[F | y])), Bao et al. (2019), with the covariance of Ledoit and Wolf, as Ibrahim et al.
    (arXiv 2110.06893) advise: without it, n ≤ d gives every labelling the largest score. Even so the score of labels
    that mean nothing is far above 0 and grows with d/n: it says something only beside `h_score_excess`.
    """
    spectrum = features if isinstance(features, Spectrum) else Spectrum.of(features)
    return float(_h_scores(spectrum, _indicators(labels)[:, :, None])[0])


def h_score_excess(
    features: ArrayLike | Spectrum, labels: Labels, clusters: Labels | None = None, permutations: int = PERMUTATIONS
) -> HScore:
    """H-score above what the same labels show when they are shuffled: (H - H0) / (classes - 1 - H0).

    Parameters
    ----------
    features : array_like, shape (n, d), or Spectrum
    labels : sequence of labels, length n
    clusters : sequence, length n, optional
        Shuffled as wholes where every cluster has one label; else texts are shuffled.
    permutations : int

    Returns
    -------
    HScore
    """
    spectrum = features if isinstance(features, Spectrum) else Spectrum.of(features)
    shuffled = permuted_labels(labels, clusters, permutations)
    classes = _indicators(labels)
    scores = _h_scores(spectrum, np.concatenate([classes[:, :, None], shuffled], axis=2))
    null, room = float(scores[1:].mean()), classes.shape[1] - 1
    excess = (float(scores[0]) - null) / max(room - null, 1e-12)
    return HScore(float(scores[0]), null, excess, permutation_p(float(scores[0]), scores[1:]))


def _h_scores(spectrum: Spectrum, classes: Array) -> Array:
    """H-score of many labellings at once: indicators of shape (n, classes, m) -> (m,)."""
    own = (1 - spectrum.shrinkage) * spectrum.power / spectrum.n
    spread = spectrum.power.sum() / spectrum.n / spectrum.width
    weights = own / (own + spectrum.shrinkage * spread)
    n, count, many = classes.shape
    sums = (spectrum.directions * np.sqrt(weights)).T @ classes.reshape(n, count * many)
    per_class = (sums**2).sum(axis=0).reshape(count, many) / classes.sum(axis=0)
    scores: Array = per_class.sum(axis=0)
    return scores


def permuted_labels(labels: Labels, clusters: Labels | None, permutations: int) -> Array:
    """Shuffle labels, by whole clusters where each has one label: indicators of shape (n, classes, permutations)."""
    classes = _indicators(labels)
    codes = np.arange(len(classes)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    first = np.unique(codes, return_index=True)[1]
    if not (classes == classes[first][codes]).all():
        codes = first = np.arange(len(classes))
    rng = rng_from(codes, classes)
    shuffled: Array = np.stack([classes[rng.permutation(first)][codes] for _ in range(permutations)], axis=2)
    return shuffled


# --- probe ------------------------------------------------------------------------------------------------------------


def deal_folds(labels: Labels, clusters: Labels, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal whole clusters to folds so that each has its share of every label.

    Parameters
    ----------
    labels, clusters : sequences, length n
        A cluster with several labels counts as its most frequent one.
    folds : int
    rng : numpy Generator

    Returns
    -------
    ndarray of int, shape (n,)
        The fold of each text.

    Examples
    --------
    >>> deal_folds(list("aabb"), list("1234"), 2, np.random.default_rng(0)).reshape(2, 2).sum(axis=1).tolist()
    [1, 1]
    """
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    counts = np.zeros((int(codes.max()) + 1, _indicators(labels).shape[1]))
    np.add.at(counts, codes, _indicators(labels))
    load = np.zeros((folds, counts.shape[1]))
    fold_of = np.empty(len(counts), dtype=np.int64)
    order = rng.permutation(len(counts))
    for cluster in order[np.argsort(-counts[order].sum(axis=1), kind="stable")]:  # the large ones first
        label = counts[cluster].argmax()
        fold_of[cluster] = min(range(folds), key=lambda one: (load[one, label], load[one].sum()))
        load[fold_of[cluster]] += counts[cluster]
    return fold_of[codes]


def out_of_fold(
    features: ArrayLike, labels: Labels, clusters: Labels, *, folds: int = 5, repeats: int = 5, seed: int = 0
) -> tuple[Array, Array]:
    """Ask linear probes about texts that they were not fitted to.

    Parameters
    ----------
    features : array_like, shape (n, d)
    labels, clusters : sequences, length n
        A cluster is never split between fitting and asking.
    folds, repeats : int
    seed : int
        The folds depend on it, the labels and the clusters alone: two bases get the same ones.

    Returns
    -------
    hits : ndarray, shape (repeats, n)
        1 where the label is told rightly, else 0.
    nats : ndarray, shape (repeats, n)
        Minus the log of the probability given to the right label.

    Raises
    ------
    NotMeasurable
        If fewer than two labels stand in two clusters each.
    """
    x, codes = np.asarray(features, dtype=np.float64), np.unique(np.asarray(labels), return_inverse=True)[1]
    named = np.asarray(clusters)
    spread = [len(np.unique(named[codes == label])) for label in range(int(codes.max()) + 1)]
    if sum(count >= 2 for count in spread) < 2:
        raise NotMeasurable("label fit", "fewer than two labels stand in two documents each: no classifier to be tried")
    rng = np.random.default_rng(seed)
    folds = min(folds, sorted(spread)[-2])  # else a fold could leave one label to be fitted
    hits, nats = np.zeros((2, repeats, len(codes)))
    for repeat in range(repeats):
        fold = deal_folds(codes, named, folds, rng)
        for held_out in (fold == one for one in np.unique(fold)):
            probe = linear_probe().fit(x[~held_out], codes[~held_out])
            given = np.full((int(held_out.sum()), len(spread)), 1e-12)
            given[:, probe.classes_] = np.maximum(probe.predict_proba(x[held_out]), 1e-12)
            truth = codes[held_out]
            hits[repeat, held_out] = given.argmax(axis=1) == truth
            nats[repeat, held_out] = -np.log(given[np.arange(len(truth)), truth])
    return hits, nats


def probe_hits(
    features: ArrayLike, labels: Labels, clusters: Labels, *, folds: int = 5, repeats: int = 5, seed: int = 0
) -> Array:
    """Tell 1 for every text whose label probes fitted to other clusters tell rightly, shape (repeats, n).

    Parameters and errors are those of `out_of_fold`.
    """
    return out_of_fold(features, labels, clusters, folds=folds, repeats=repeats, seed=seed)[0]


# --- on a scale -------------------------------------------------------------------------------------------------------


def label_fit(features: ArrayLike, items: Sequence[Item], *, seed: int = 0) -> list[Scale]:
    """Place what a base's features tell of the labels between shuffled labels and the best there can be.

    Parameters
    ----------
    features : array_like, shape (n, d)
        Of the training texts; texts that say the same in the same cluster count once.
    items : sequence of Item, length n
        With labels; cluster = document.
    seed : int
        Of the folds.

    Returns
    -------
    list of Scale
        ``fit/probe``: accuracy of linear probes on texts that they were not fitted to; null is the most frequent label.
        ``fit/evidence``: log evidence in nats a text; null is that of shuffled labels, the ceiling lies the labels'
        own entropy above it.
        ``fit/h_score``: H-score excess.

    Raises
    ------
    NotMeasurable
        If there is one label only, there are too few documents, or the features do not vary.
    """
    position = {item.id: row for row, item in enumerate(items)}
    kept = distinct(items)
    x = np.asarray(features, dtype=np.float64)[[position[item.id] for item in kept]]
    labels = np.array([item.label or "" for item in kept])
    clusters = np.unique([item.cluster for item in kept], return_inverse=True)[1]
    found = np.unique(labels)
    if len(found) < 2:
        raise NotMeasurable("label fit", f"every text is labelled {''.join(found)!r}; two labels are the least")
    if int(clusters.max()) + 1 < MIN_DOCUMENTS:
        raise NotMeasurable(
            "label fit",
            f"{int(clusters.max()) + 1} distinct documents are too few to tell; {MIN_DOCUMENTS} are the least",
        )
    spectrum = Spectrum.of(x)
    return [_probe_scale(x, labels, clusters, seed), *_spectral_scales(spectrum, x, labels, clusters)]


def _probe_scale(x: Array, labels: NDArray[np.str_], clusters: NDArray[np.int64], seed: int) -> Scale:
    hits = probe_hits(x, labels, clusters, seed=seed).mean(axis=0)
    majority = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    weights = cluster_weights(clusters, DRAWS, rng_from(clusters, hits))
    draws = hits @ weights / weights.sum(axis=0)
    value = float(hits.mean())
    low, high = (float(q) for q in np.quantile(draws, [0.025, 0.975]))
    return Scale(
        name="fit/probe",
        question="accuracy of a linear probe on texts that it was not fitted to",
        unit="accuracy",
        null=majority,
        measured=Estimate(value=value, low=low, high=high) if low < high else Estimate(value=value),
        ceiling=1.0,
        note=NEVER_WRONG if value == 1 else "",
    )


def _spectral_scales(
    spectrum: Spectrum, x: Array, labels: NDArray[np.str_], clusters: NDArray[np.int64]
) -> tuple[Scale, Scale]:
    """Place evidence and H-score, with intervals from leaving groups of clusters out."""
    counts = np.unique(labels, return_counts=True)[1]
    shares = counts / counts.sum()
    entropy = float(-(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).mean())  # one class against the rest
    shuffled = permuted_labels(labels, clusters, PERMUTATIONS)
    n, classes, many = shuffled.shape
    null = float(_best_evidence(spectrum, shuffled.reshape(n, classes * many)).mean())
    score = h_score_excess(spectrum, labels, clusters)
    groups = np.random.default_rng(0).permutation(int(clusters.max()) + 1)[clusters] % min(GROUPS, clusters.max() + 1)
    left = []
    for group in np.unique(groups):
        rest = groups != group
        if len(np.unique(labels[rest])) == len(counts):
            part = Spectrum.of(x[rest])
            left.append(
                (log_evidence(part, labels[rest]), h_score_excess(part, labels[rest], clusters[rest], 49).excess)
            )
    spread = np.array(left)
    return (
        Scale(
            name="fit/evidence",
            question="log evidence of a linear model of the labels",
            unit="nats a text",
            null=null,
            measured=_jackknifed(log_evidence(spectrum, labels), spread[:, 0] if len(left) else spread),
            ceiling=null + entropy,
            note="The ceiling lies the labels' own entropy above the null.",
        ),
        Scale(
            name="fit/h_score",
            question="H-score above that of shuffled labels",
            unit="share of what is left above shuffled labels",
            null=0.0,
            measured=_jackknifed(score.excess, spread[:, 1] if len(left) else spread),
            ceiling=1.0,
            note=f"Permutation p = {score.p:.3g}.",
        ),
    )


def _jackknifed(value: float, left_out: Array) -> Estimate:
    """Student's interval from the values with one group of clusters left out each."""
    count = len(left_out)
    if count < 3 or not float(np.ptp(left_out)) > 1e-12:
        return Estimate(value=value)
    error = float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return Estimate(value=value, low=value - half, high=value + half)
