"""A head on remembered features, against a frozen body under Trainer, and against one pass of the base."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.adapt import Plan, adapt
from audit.models.load import load_base, load_pair
from audit.models.source import Source, resolve
from audit.publish.card.text import number
from audit.recipe import Head, Task
from audit.stats import compare
from audit.view import Item, remember
from tests.bench.material import minilm, shared
from tests.bench.processes import seconds
from tests.bench.table import Row, faster, middle, share

__all__ = ["rows"]

ROUNDS = 3
EPOCHS = 5
RATE = 1e-3  # the best of 1e-3, 3e-3, 1e-2 and 3e-2 on the texts that are asked
BATCH = 16
LONGEST = 128
LABELS = ("0", "1")


def rows(limit: int | None = None) -> list[Row]:
    """Train both on 800 IMDb sentences and ask 200; then a head on 2,000 sentences beside one embedding pass."""
    source, items = minilm(), _sentences("imdb")[: limit or 1000]
    items = [items[row] for row in np.random.default_rng(0).permutation(len(items))]
    held = len(items) // 5
    train, test = items[held:], items[:held]
    view = load_base(source, "encoder")
    view.ask("embedding", train[:64])  # what is only done once is done
    rounds: list[tuple[float, float, float]] = []
    for _ in range(ROUNDS):
        own, ours = _head(source, train, test)
        means, by_means = _trained(source, train, test, pooled=False)
        pooler, by_pooler = _trained(source, train, test, pooled=True)
        rounds.append((own, means, pooler))
    found = [
        _against(
            f"MiniLM as it is, one linear layer on the mean of its tokens, rate {RATE:g}", rounds, 1, ours, by_means
        ),
        _against(f"MiniLM's own classifier (pooler and linear layer), rate {RATE:g}", rounds, 2, ours, by_pooler),
    ]
    many = [one for name in ("imdb", "amazon", "yelp") for one in _sentences(name)][: 2 * (limit or 1000)]
    pairs = []
    for _ in range(ROUNDS):
        single = seconds(lambda: view.ask("embedding", many))
        pairs.append((_head(source, many, [])[0], single))
    ours_said, other = (f"{middle(pairs, column):.1f} s" for column in (0, 1))
    what = f"a head on {len(many):,} sentences from nothing remembered: loading, features, fit"
    found.append(share(what, pairs, "one embedding pass", ours_said, f"its view alone: {other}", goal=1.2))
    return found


def _against(
    peer: str, rounds: Sequence[tuple[float, ...]], column: int, ours: NDArray[Any], other: NDArray[Any]
) -> Row:
    compared = compare(other, ours, [str(place) for place in range(len(ours))])
    more = number(compared.change, signed=True)
    return faster(
        f"a head on 800 IMDb sentences, from nothing remembered to its file; accuracy {more}",
        [(one[0], one[column]) for one in rounds],
        f"{middle(rounds, 0):.1f} s, accuracy {number(compared.adapted)}",
        f"{EPOCHS} epochs of Trainer, body frozen ({peer}): {middle(rounds, column):.1f} s, "
        f"accuracy {number(compared.base)}",
        goal=4,
    )


def _head(source: Source, train: Sequence[Item], test: Sequence[Item]) -> tuple[float, NDArray[Any]]:
    """Seconds of the adaptation, and which test items it labels rightly."""
    with tempfile.TemporaryDirectory() as name:
        folder, answers = Path(name) / "head", Path(name) / "answers"
        folder.mkdir()
        method = Head(method="head", max_length=LONGEST)
        plan = Plan(source, "encoder", Task(dataset="none", labels=LABELS), method,
                    remembered=lambda view: remember(view, answers))  # fmt: skip
        taken = seconds(lambda: adapt(plan, train, 0, folder))
        if not test:
            return taken, np.empty(0)
        said = load_pair(source, resolve(str(folder)), "encoder").adapted.ask("probabilities", test).argmax(axis=1)
    return taken, _right(said, test)


def _trained(source: Source, train: Sequence[Item], test: Sequence[Item], *, pooled: bool) -> tuple[float, Any]:
    """The same by Trainer, loading included: its own classifier, or a layer on the mean of the tokens."""
    import torch
    from transformers import AutoTokenizer, Trainer, TrainingArguments

    def fit() -> Any:
        torch.manual_seed(0)
        model = _classifier(source, pooled)
        tokenizer = AutoTokenizer.from_pretrained(source.folder)
        with tempfile.TemporaryDirectory() as name:
            arguments = TrainingArguments(
                name, num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, save_strategy="no", use_cpu=True,
                learning_rate=RATE, logging_strategy="no", disable_tqdm=True, seed=0,
            )  # fmt: skip
            trainer: Any = Trainer(model, arguments, train_dataset=_rows(tokenizer, train), processing_class=tokenizer)
            trainer.train()
            trainers.append((trainer, tokenizer))

    trainers: list[Any] = []
    taken = seconds(fit)
    trainer, tokenizer = trainers[0]
    return taken, _right(trainer.predict(_rows(tokenizer, test)).predictions.argmax(axis=1), test)


def _classifier(source: Source, pooled: bool) -> Any:
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    if pooled:
        model: Any = AutoModelForSequenceClassification.from_pretrained(source.folder, num_labels=2)
        model.base_model.requires_grad_(False)
        return model

    class Means(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body: Any = AutoModel.from_pretrained(source.folder).requires_grad_(False)
            self.head = torch.nn.Linear(self.body.config.hidden_size, 2)

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None, **_: Any) -> dict[str, Any]:
            with torch.no_grad():
                hidden = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask[..., None] / attention_mask.sum(1)[:, None, None]
            logits = self.head((hidden * weights).sum(1))
            return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}

    return Means()


def _rows(tokenizer: Any, items: Sequence[Item]) -> list[dict[str, Any]]:
    ids = tokenizer([item.text for item in items], truncation=True, max_length=LONGEST)["input_ids"]
    return [{"input_ids": one, "labels": int(item.label or "")} for one, item in zip(ids, items, strict=True)]


def _sentences(name: str) -> list[Item]:
    """Sentences of reviews with their sentiment (Kotzias et al., KDD 2015)."""
    lines = [line for line in shared(f"sentences_{name}.tsv").read_text(encoding="utf-8").split("\n") if line]
    split = [line.rsplit("\t", 1) for line in lines]
    return [
        Item(id=f"{name}-{n}", cluster=f"{name}-{n}", text=text, label=label) for n, (text, label) in enumerate(split)
    ]


def _right(said: Any, items: Sequence[Item]) -> NDArray[np.float64]:
    right: NDArray[np.float64] = np.array(
        [str(one) == item.label for one, item in zip(said, items, strict=True)], float
    )
    return right
