"""CrowS-Pairs under a base and an adapted model on a GPU: tokens a second, and the share of what the GPU can do."""

from __future__ import annotations

import tempfile
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from audit.models.load import load_pair
from audit.models.source import resolve
from audit.models.weights import Dtype
from audit.view import Item
from tests.bench.material import crows, random_adapter, smollm2
from tests.bench.processes import seconds
from tests.bench.table import Absent, Row, middle

__all__ = ["rows"]

ROUNDS = 5
WIDTH = 8192


def rows(limit: int | None = None) -> list[Row]:
    """Ask both sides in float32 and in bfloat16."""
    if not torch.cuda.is_available():
        raise Absent("no GPU at hand: ready to run with `python -m tests.bench gpu`")
    items, device = crows(limit), torch.device("cuda")
    can = _products(device)
    with tempfile.TemporaryDirectory() as name:
        adapter = random_adapter(Path(name))
        return [_row(items, adapter, dtype, can, torch.cuda.get_device_name(device)) for dtype in get_args(Dtype)]


def _row(items: list[Item], adapter: Path, dtype: Dtype, can: float, device: str) -> Row:
    pair = load_pair(smollm2(), resolve(str(adapter)), "causal", dtype=dtype)
    scored, computed, each = _work(items)

    def ask() -> None:
        for view in (pair.base, pair.adapted):
            view.ask("log_likelihood", items)

    ask()
    took = middle([(seconds(ask),) for _ in range(ROUNDS)], 0)
    return Row(
        f"**{2 * computed * each / took / can:.2f} × the rate**",
        "",
        f"{len(items):,} CrowS-Pairs under SmolLM2-135M and a LoRA of it, {dtype}, {device}",
        f"{2 * scored / took:,.0f} tokens a second, {took:.2f} s",
        f"a product of bfloat16 matrices of {WIDTH} × {WIDTH}: {can / 1e12:.0f} Tflop/s",
    )


def _work(items: list[Item]) -> tuple[int, int, int]:
    """Tokens that are scored, positions that are computed (what a pair shares, once), operations a position.

    A position costs a multiplication and an addition a weight; attention and the adapter come on top and are not
    counted. The head's weights are the input embeddings, which cost nothing there.
    """
    source = smollm2()
    tokenizer: Any = AutoTokenizer.from_pretrained(source.folder)
    pairs = [tokenizer(list(item.pair or ()), add_special_tokens=False)["input_ids"] for item in items]
    scored = sum(len(ids) for pair in pairs for ids in pair)
    shared = sum(1 + _alike(first[:-1], second[:-1]) for first, second in pairs)  # the start token, and what follows
    weights = AutoModelForCausalLM.from_pretrained(source.folder).num_parameters()
    return scored, scored - shared, 2 * weights


def _alike(first: list[int], second: list[int]) -> int:
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(first, second, strict=False)))


def _products(device: torch.device, width: int = WIDTH) -> float:
    """Operations a second in products of bfloat16 matrices: the median of some rounds, each waited for."""
    left, right = (torch.randn(width, width, device=device, dtype=torch.bfloat16) for _ in range(2))

    def multiply(times: int = 20) -> None:
        for _ in range(times):
            product = left @ right
        product[0, 0].item()

    multiply()
    return 20 * 2 * width**3 / middle([(seconds(multiply),) for _ in range(ROUNDS)], 0)
