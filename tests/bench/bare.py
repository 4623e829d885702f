"""Scoring against the forward passes that it cannot do without."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from audit.items import shipped
from audit.models.batch import token_budget
from audit.models.load import load_base
from audit.view import Item
from tests.bench.material import smollm2
from tests.bench.processes import seconds
from tests.bench.table import Row, middle, share

__all__ = ["rows"]

ROUNDS = 5


def rows(limit: int | None = None) -> list[Row]:
    """Log-likelihoods of 400 sentences, tokenizing included, over passes of batches without a padded token."""
    items = _sentences()[: limit or 400]
    source = smollm2()
    view = load_base(source, "causal")
    model: Any = AutoModelForCausalLM.from_pretrained(source.folder, dtype=torch.float32)
    batches = _batches(AutoTokenizer.from_pretrained(source.folder), items)

    def passes() -> None:
        with torch.inference_mode():
            for ids in batches:
                _ = model(input_ids=ids).logits

    view.ask("log_likelihood", items[:40])
    passes()
    rounds = [(seconds(lambda: view.ask("log_likelihood", items)), seconds(passes)) for _ in range(ROUNDS)]
    return [
        share(
            f"log-likelihood of {len(items)} sentences, SmolLM2-135M",
            rounds,
            "the time",
            f"{middle(rounds, 0):.1f} s",
            f"`model(input_ids).logits` alone, {len(batches)} batches of equally long texts: {middle(rounds, 1):.1f} s",
            goal=1.2,
        )
    ]


def _sentences() -> list[Item]:
    lines = shipped("feedback").read_text(encoding="utf-8").splitlines()
    return [Item(id=row["id"], cluster=row["id"], text=row["text"]) for row in map(json.loads, lines)]


def _batches(tokenizer: Any, items: list[Item]) -> list[torch.Tensor]:
    """Everything that predicts a token, in batches of equal length and of as many tokens as scoring may take."""
    by_length = defaultdict(list)
    for ids in tokenizer([item.text for item in items], add_special_tokens=False)["input_ids"]:
        by_length[len(ids)].append([tokenizer.bos_token_id, *ids[:-1]])
    budget = token_budget(torch.device("cpu"))
    return [
        torch.tensor(rows[first : first + budget // length])
        for length, rows in sorted(by_length.items())
        for first in range(0, len(rows), budget // length)
    ]
