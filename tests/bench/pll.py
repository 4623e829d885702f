"""Pseudo-log-likelihoods of sentences under a masked model, against the loop that everybody writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from audit.items import passages
from audit.models.load import load_base
from audit.models.source import resolve
from audit.view import Item
from tests.bench.material import minilm
from tests.bench.processes import seconds
from tests.bench.table import Row, faster, middle

__all__ = ["rows"]

ROUNDS = 3


def rows(limit: int | None = None) -> list[Row]:
    """60 sentences under a random BERT of MiniLM's size, whose tokenizer it has; both ways give the same numbers."""
    items = [_beginning(item) for item in passages()[: limit or 60]]
    with tempfile.TemporaryDirectory() as name:
        tokenizer, model = _random_bert(Path(name))
        view = load_base(resolve(name), "encoder")
        few = items[:10]
        np.testing.assert_allclose(view.ask("pseudo_log_likelihood", few), _loop(tokenizer, model, few), rtol=1e-5)
        rounds = [
            (
                seconds(lambda: view.ask("pseudo_log_likelihood", items)),
                seconds(lambda: _loop(tokenizer, model, items)),
            )
            for _ in range(ROUNDS)
        ]
    return [
        faster(
            f"pseudo-log-likelihood of {len(items)} sentences, BERT of 6 layers, 384, vocabulary {len(tokenizer):,}",
            rounds,
            f"{middle(rounds, 0):.1f} s",
            f"one mask at a time, all logits: {middle(rounds, 1):.1f} s",
            goal=3,
        )
    ]


def _beginning(item: Item) -> Item:
    return item.model_copy(update={"text": " ".join((item.text or "").split()[:25])})


def _random_bert(folder: Path) -> tuple[Any, Any]:
    """Save a random BERT; return its tokenizer and itself."""
    tokenizer: Any = AutoTokenizer.from_pretrained(minilm().folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    model: Any = BertForMaskedLM(config)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer, model


def _loop(tokenizer: Any, model: Any, items: list[Item]) -> list[float]:
    """Mask one token, ask the model, look the token up; again for every token of every sentence."""
    sums = []
    with torch.no_grad():
        for item in items:
            ids = tokenizer(item.text, return_tensors="pt")["input_ids"]
            total = 0.0
            for position in range(1, ids.shape[1] - 1):
                masked = ids.clone()
                masked[0, position] = tokenizer.mask_token_id
                nats = model(input_ids=masked).logits[0, position].log_softmax(-1)
                total += float(nats[ids[0, position]])
            sums.append(total)
    return sums
