"""A head in a file of its own: scikit-learn's answers on the base's features, and a base that nobody touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from audit.adapt import Plan, adapt
from audit.adapt.linear import fit_linear, truth_of
from audit.adapt.soften import soften
from audit.errors import InputError
from audit.models.ask import Readout
from audit.models.drift import unshared, weight_drift
from audit.models.headed import HeadedView, cut, read_head, write_head
from audit.models.lineage import base_of
from audit.models.load import Pair, load_base, load_pair
from audit.models.null import null_copies
from audit.models.source import file_hashes, resolve
from audit.models.weights import model_kind
from audit.probe import ProbedView
from audit.recipe import Head, Task
from audit.recipe.task import TaskType
from audit.view import Item, Kind, NotMeasurable, View, remember
from tests import families

Array = NDArray[np.float64]
LABELS = ("bad", "fair", "good")
WORDS = ["dull", "late", "rude", "plain", "usual", "calm", "kind", "warm", "bright"]
TEXTS = [f"{a} and {b} {c}" for a in WORDS for b in ("very", "quite") for c in ("work", "food")]


def items(type: TaskType = "single_label", count: int = len(TEXTS), labels: Sequence[str] = LABELS) -> list[Item]:
    """Texts whose first word tells the label, if not always the truth."""
    found = []
    for number, text in enumerate(TEXTS[:count]):
        rank = (number * len(labels)) // count
        noisy = (rank + (number % 7 == 0)) % len(labels)
        label = {
            "single_label": labels[noisy],
            "multi_label": json.dumps([name for k, name in enumerate(labels) if k == noisy or number % (k + 3) == 0]),
            "regression": repr(100.0 + 7 * rank + number % 5),
        }[type]
        found.append(Item(id=f"t{number}", cluster=f"t{number}", text=text, label=label))
    return found


def task(type: TaskType = "single_label", labels: Sequence[str] = LABELS) -> Task:
    return Task(dataset="none", type=type, labels=None if type == "regression" else tuple(labels))


def fitted(
    base: Path, train: Sequence[Item], folder: Path, kind: Kind = "encoder", asked: Task | None = None, **keys: Any
) -> Path:
    folder.mkdir(parents=True)
    plan = Plan(resolve(str(base)), kind, asked or task(), Head(method="head", **keys))
    adapt(plan, train, 0, folder)
    return folder


def pair_of(base: Path, folder: Path, kind: Kind = "encoder", readout: Readout | None = None) -> Pair:
    return load_pair(resolve(str(base)), resolve(str(folder)), kind, readout)


# --- the base ---------------------------------------------------------------------------------------------------------


def test_the_base_stays_bit_for_bit_and_in_memory_once(bert: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in bert.iterdir()}
    folder = fitted(bert, items(), tmp_path / "head")
    assert {path.name for path in folder.iterdir()} == {"head.json", "head.safetensors"}
    assert {path.name: path.read_bytes() for path in bert.iterdir()} == before
    pair = pair_of(bert, folder)
    weights = {name: one.clone() for name, one in pair.base._network.model.state_dict().items()}  # type: ignore[attr-defined]
    for question in ("probabilities", "logits"):
        pair.adapted.ask(question, items())
    for question in ("embedding", "layer_means", "pseudo_log_likelihood"):
        assert np.array_equal(pair.base.ask(question, items()), pair.adapted.ask(question, items()))
    assert isinstance(pair.adapted, HeadedView)
    assert pair.adapted.view is pair.base
    after = pair.base._network.model.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(one, after[name]) for name, one in weights.items())
    assert [row["outcome"] for row in pair.preflight] == ["the base's network, bit for bit, answers for both sides"]
    drift = weight_drift(resolve(str(bert)), resolve(str(folder)), "encoder")
    assert [one.layer for one in drift] == ["embeddings", "layer 0", "layer 1", "head"]
    assert all(one.identical == one.tensors and one.relative == one.changed == 0 for one in drift)
    assert unshared(resolve(str(bert)), resolve(str(folder))) == ([], ["head/0.bias", "head/0.weight"])


def test_what_a_head_is_made_for_is_in_its_id(tiny_encoder: Path, tmp_path: Path) -> None:
    first, second = (
        pair_of(tiny_encoder, fitted(tiny_encoder, items(), tmp_path / str(strength), regularisation=strength))
        for strength in (1.0, 2.0)
    )
    assert first.base.id == second.base.id == load_base(resolve(str(tiny_encoder)), "encoder").id
    assert len({first.base.id, first.adapted.id, second.adapted.id}) == 3


# --- what it says -----------------------------------------------------------------------------------------------------


def expected(features: Array, train: Sequence[Item], type: TaskType, hidden: tuple[int, ...]) -> Any:
    """The same by scikit-learn's own pipeline."""
    scaler = StandardScaler().fit(features)
    scaled, n = scaler.transform(features), len(train)
    network: dict[str, Any] = {
        "hidden_layer_sizes": hidden, "alpha": 1.0, "solver": "lbfgs", "max_iter": 2000, "max_fun": 4000,
        "random_state": 0,
    }  # fmt: skip
    if type == "regression":
        numbers = np.array([float(item.label or "") for item in train])
        if not hidden:
            return Ridge(alpha=1.0 * n).fit(scaled, numbers).predict(scaled)[:, None]
        unit = (numbers - numbers.mean()) / numbers.std()
        told = MLPRegressor(**network).fit(scaled, unit).predict(scaled)
        return (told * numbers.std() + numbers.mean())[:, None]
    linear = LogisticRegression(C=1 / n, max_iter=5000)
    if type == "multi_label":
        several = np.array([[int(name in json.loads(item.label or "[]")) for name in LABELS] for item in train])
        model = MLPClassifier(**network) if hidden else OneVsRestClassifier(linear)
        return model.fit(scaled, several).predict_proba(scaled)
    model = MLPClassifier(**network) if hidden else linear
    return model.fit(scaled, [item.label for item in train]).predict_proba(scaled)


@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)], ids=["linear", "one", "two"])
@pytest.mark.parametrize("type", ["single_label", "multi_label", "regression"])
def test_it_answers_as_scikit_learn_does_on_the_same_features(
    type: TaskType, hidden: tuple[int, ...], bert: Path, tmp_path: Path
) -> None:
    train = items(type)
    view = pair_of(bert, fitted(bert, train, tmp_path / "head", asked=task(type), hidden=hidden)).adapted
    said = view.ask("logits" if type == "regression" else "probabilities", train)
    want = expected(view.ask("embedding", train), train, type, hidden)
    assert said.shape == want.shape
    assert np.abs(said - want).max() < (1e-6 if type != "regression" else 1e-4)  # of numbers about 110: float32
    assert view.labels == (() if type == "regression" else LABELS)


@pytest.mark.parametrize("hidden", [(), (5,)], ids=["linear", "one"])
def test_two_labels_share_one_log_odds(hidden: tuple[int, ...], bert: Path, tmp_path: Path) -> None:
    two = ("bad", "good")
    train = items(labels=two)
    view = pair_of(bert, fitted(bert, train, tmp_path / "head", asked=task(labels=two), hidden=hidden)).adapted
    want = expected(view.ask("embedding", train), train, "single_label", hidden)
    assert np.abs(view.ask("probabilities", train) - want).max() < 1e-6
    assert np.abs(view.ask("logits", train).sum(axis=1)).max() < 1e-4


@pytest.mark.parametrize("hidden", [(), (5,)], ids=["linear", "one"])
def test_a_label_that_nothing_has_is_never_said(hidden: tuple[int, ...], bert: Path, tmp_path: Path) -> None:
    train = [item for item in items() if item.label != "fair"]
    view = pair_of(bert, fitted(bert, train, tmp_path / "one", hidden=hidden)).adapted
    assert view.ask("probabilities", items())[:, 1].max() < 1e-9
    always = [item.model_copy(update={"label": json.dumps(["bad", *json.loads(item.label or "")])})
              for item in items("multi_label")]  # fmt: skip
    head = fitted(bert, always, tmp_path / "several", asked=task("multi_label"), hidden=hidden)
    assert pair_of(bert, head).adapted.ask("probabilities", items())[:, 0].min() > 0.95


def test_a_regression_has_no_classes(bert: Path, tmp_path: Path) -> None:
    train = items("regression")
    view = pair_of(bert, fitted(bert, train, tmp_path / "head", asked=task("regression"))).adapted
    with pytest.raises(NotMeasurable, match="a regression has no classes"):
        view.ask("probabilities", train)
    pairs = [Item(id="p", cluster="p", pair=(TEXTS[0], TEXTS[-1]))]
    assert view.ask("logits", pairs).shape == (1, 2, 1)
    assert np.allclose(view.ask("logits", pairs)[0], view.ask("logits", [train[0], train[-1]]))


def test_it_reads_no_more_of_a_text_than_it_was_fitted_to(bert: Path, tmp_path: Path) -> None:
    """Four tokens: [CLS], two words, [SEP]; the embedding that passes through is of the whole text."""
    view = pair_of(bert, fitted(bert, items(), tmp_path / "head", max_length=4)).adapted
    short, long = (Item(id=text, cluster=text, text=text) for text in ("kind and", "kind and rude work"))
    said, read = (
        np.ptp(view.ask(question, [short, long]), axis=0).max() for question in ("probabilities", "embedding")
    )
    assert said < 1e-6
    assert read > 1e-3
    assert view.treatment("probabilities", [long, short]).startswith("1 of 2 texts are longer than the 4 tokens")
    assert view.treatment("embedding", [long, short]) == ""


# --- every kind -------------------------------------------------------------------------------------------------------

KINDS: dict[Kind, Any] = {
    "encoder": families.MASKED["roberta"],
    "sentence_encoder": families.sentence,
    "causal": families.CAUSAL["gpt2"],
    "vision": families.VISION["vit"],
    "clip": families.clip,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_base_takes_one(kind: Kind, tmp_path: Path) -> None:
    base = KINDS[kind](tmp_path / "base")
    labels = ("bad", "good")
    train = items(labels=labels)
    if kind in ("vision", "clip"):
        paths = families.images(tmp_path / "images")
        train = [Item(id=f"{n}", cluster=f"{n}", image=str(p), label=labels[n % 2]) for n, p in enumerate(paths)]
    folder = fitted(base, train, tmp_path / "head", kind, task(labels=labels), regularisation=1e-4)
    readout = Readout("a photo of a {label}.", labels) if kind == "clip" else Readout("{text} is", labels)
    pair = pair_of(base, folder, kind, readout)
    said = [labels[row] for row in pair.adapted.ask("probabilities", train).argmax(axis=1)]
    assert np.mean([one == item.label for one, item in zip(said, train, strict=True)]) > 0.8
    assert np.array_equal(pair.base.ask("embedding", train), pair.adapted.ask("embedding", train))
    assert pair.base.labels == {"clip": labels, "vision": ("plain", "striped")}.get(kind, ())  # by names, by its head
    assert base_of(str(folder)) == str(base)
    assert model_kind(folder) == kind
    with pytest.raises(InputError, match="is the base's own"):
        soften(resolve(str(base)), resolve(str(folder)), 0.5, tmp_path / "soft")


# --- features, once ---------------------------------------------------------------------------------------------------


def test_the_base_is_asked_once_for_all_heads(bert: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    class Counted:
        def __init__(self, view: View) -> None:
            self.view, self.id, self.kind, self.labels = view, view.id, view.kind, view.labels

        def ask(self, question: str, items: Sequence[Item]) -> Array:
            asked.append(question)
            return self.view.ask(question, items)

        def treatment(self, question: str, items: Sequence[Item]) -> str:
            return ""

    plan = Plan(resolve(str(bert)), "encoder", task(), Head(method="head", hidden=(4,)),
                remembered=lambda view: remember(Counted(view), tmp_path / "answers"))  # fmt: skip
    heads = []
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        (tmp_path / name).mkdir()
        adapt(plan, items(), seed, tmp_path / name)
        heads.append(load_file(tmp_path / name / "head.safetensors"))
    assert asked == ["embedding"]
    assert all(np.array_equal(heads[0][name], heads[1][name]) for name in heads[0])  # the same seed, the same weights
    assert not np.allclose(heads[0]["0.weight"], heads[2]["0.weight"])


# --- a backbone of its own --------------------------------------------------------------------------------------------


@pytest.fixture
def pretrained(bert: Path, tmp_path: Path) -> Path:
    """The base after some training on a domain."""
    folder = tmp_path / "domain"
    shutil.copytree(bert, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.encoder.layer.1.output.dense.weight"] *= -1
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_a_head_on_a_pretrained_backbone_brings_it_along(bert: Path, pretrained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "head"
    folder.mkdir()
    plan = Plan(resolve(str(bert)), "encoder", task(), Head(method="head"), start=resolve(str(pretrained)))
    adapt(plan, items(), 0, folder)
    shutil.rmtree(pretrained)
    pair = pair_of(bert, folder)
    want = expected(pair.adapted.ask("embedding", items()), items(), "single_label", ())
    assert np.abs(pair.adapted.ask("probabilities", items()) - want).max() < 1e-6
    assert np.abs(pair.base.ask("embedding", items()) - pair.adapted.ask("embedding", items())).max() > 1e-3
    drift = {one.layer: one for one in weight_drift(resolve(str(bert)), resolve(str(folder)), "encoder")}
    assert [name for name, one in drift.items() if one.relative] == ["layer 1"]
    assert unshared(resolve(str(bert)), resolve(str(folder)))[1] == ["head/0.bias", "head/0.weight"]
    soft = soften(resolve(str(bert)), resolve(str(folder)), 0.0, tmp_path / "soft")
    assert (soft / "head.safetensors").read_bytes() == (folder / "head.safetensors").read_bytes()
    at_the_base = pair_of(bert, soft).adapted
    assert np.array_equal(at_the_base.ask("embedding", items()), pair.base.ask("embedding", items()))
    assert at_the_base.labels == LABELS


def test_such_a_model_is_a_base_with_null_copies(bert: Path, pretrained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "head"
    folder.mkdir()
    adapt(Plan(resolve(str(bert)), "encoder", task(), Head(method="head"), start=resolve(str(pretrained))), items(), 0,
          folder)  # fmt: skip
    base = load_base(resolve(str(folder)), "encoder")
    asked = items()[:4]
    before, copies = base.ask("probabilities", asked), []
    for name, view in null_copies(resolve(str(folder)), "encoder"):
        said = view.ask("probabilities", asked)
        assert np.array_equal(said, before) == (name in ("asked again", "zero adapter"))
        assert np.allclose(said, before, atol=0.05)
        copies.append(view)
    assert len(copies) == 4
    with pytest.raises(RuntimeError, match="this null copy has been passed"):
        copies[0].ask("probabilities", asked)


# --- refused ----------------------------------------------------------------------------------------------------------


def test_a_head_is_asked_on_its_own_base_alone(bert: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = fitted(bert, items(), tmp_path / "head")
    with pytest.raises(InputError, match=rf"it was made for the base {bert} .* not for {tiny_encoder}"):
        pair_of(tiny_encoder, folder)
    with pytest.raises(InputError, match=r"a head for a base of kind 'encoder', not 'sentence_encoder'"):
        pair_of(bert, folder, "sentence_encoder")
    with pytest.raises(InputError, match=r"a head or a prompt is no base by itself; name the base that it was made of"):
        load_base(resolve(str(folder)), "encoder")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda said: said.update(version=2), "a head of version 2; this is transfer-audit's version 1"),
        (lambda said: said["labels"].append("more"), r"layers of shapes \[\(3, 32\)\] are no head of 4 labels"),
        (lambda said: said.update(hidden=[4]), r"its head cannot be read \(KeyError: '1.weight'\)"),
        (lambda said: said.update(task="ranking"), "are no head of 3 labels for ranking"),
        (lambda said: said.pop("kind"), r"its head cannot be read \(KeyError: 'kind'\)"),
    ],
    ids=["version", "labels", "layers", "task", "key"],
)
def test_a_broken_head_is_refused(edit: Any, said: str, bert: Path, tmp_path: Path) -> None:
    folder = fitted(bert, items(), tmp_path / "head")
    families.rewrite(folder / "head.json", edit)
    with pytest.raises(InputError, match=said):
        pair_of(bert, folder)


def test_a_head_of_another_width_does_not_answer(bert: Path, tmp_path: Path) -> None:
    base = resolve(str(bert))
    write_head(tmp_path, base, "encoder", "single_label", ("a", "b"), [(np.ones((2, 7)), np.zeros(2))])
    with pytest.raises(NotMeasurable, match="the head reads 7 features, the backbone has 32"):
        pair_of(bert, tmp_path).adapted.ask("probabilities", items())


def test_what_is_written_is_what_is_read(bert: Path, tmp_path: Path) -> None:
    base, rng = resolve(str(bert)), np.random.default_rng(0)
    layers = [(rng.normal(size=(4, 3)), rng.normal(size=4)), (rng.normal(size=(1, 4)), rng.normal(size=1))]
    write_head(tmp_path, base, "encoder", "regression", (), layers, 12)
    head = read_head(replace(base, folder=tmp_path, files=file_hashes(tmp_path)))
    assert (head.kind, head.task, head.labels, head.max_length) == ("encoder", "regression", (), 12)
    assert (head.base, head.revision, head.sha256, head.parameters) == (base.id, None, base.sha256, 21)
    x = rng.normal(size=(5, 3))
    by_torch: Any = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1)).double()
    with torch.no_grad():
        for place, (weight, bias) in zip((0, 2), layers, strict=True):
            by_torch[place].weight.copy_(torch.from_numpy(weight))
            by_torch[place].bias.copy_(torch.from_numpy(bias))
        assert np.abs(head.logits(x) - by_torch(torch.from_numpy(x)).numpy()).max() < 1e-6


def test_a_view_is_cut_only_where_it_reads_more(bert: Path) -> None:
    view = load_base(resolve(str(bert)), "encoder")
    assert cut(view, None) is cut(view, 4096) is view
    assert cut(view, 8).id != view.id


def test_one_class_alone_is_always_said() -> None:
    """What a stratified draw never leaves, and a set from which others were dropped may."""
    rng = np.random.default_rng(0)
    features, one = rng.normal(size=(12, 3)), items(count=12, labels=LABELS[:1])
    weight, bias = fit_linear(features, truth_of(one, task()), task(), 1.0)
    assert (features @ weight.T + bias).argmax(axis=1).tolist() == [LABELS.index(LABELS[0])] * 12


def test_refits_of_a_rare_class_know_it() -> None:
    """Of one in twelve, 35 of 100 plain draws have none: (11/12)^12."""
    rng = np.random.default_rng(1)
    features = {str(n): rng.normal(size=3) for n in range(12)}
    view = Featured(features)
    rows = [Item(id=str(n), cluster=str(n), text=str(n), label=LABELS[n == 5]) for n in range(12)]
    probed = ProbedView(view, rows, LABELS)
    for other in [probed, *probed.refits(30)]:
        said = other.ask("probabilities", rows)
        assert said.shape == (12, len(LABELS))
        assert (said[:, :2] > 0).all()
    alone = ProbedView(view, rows[:5], LABELS)
    assert alone.ask("probabilities", rows)[:, 0].tolist() == [1.0] * 12


class Featured:
    """A view that knows the features of texts and nothing else."""

    id: str = "featured"
    kind: Kind = "encoder"
    labels: tuple[str, ...] = ()

    def __init__(self, features: dict[str, Array]) -> None:
        self.features = features

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        assert question == "embedding"
        return np.stack([self.features[item.text or ""] for item in items])

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return ""
