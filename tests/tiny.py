"""Tiny random models and a tiny task, built on the spot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.items import passages, shipped
from audit.recipe import Task
from audit.view import Item


def _texts() -> list[str]:
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    return [str(item.text) for item in passages()] + [str(row["text"]) for row in rows]


def tokenizer(folder: Path, causal: bool = False) -> Any:
    """Train a WordPiece (or byte-level BPE) tokenizer on the shipped texts and save it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if causal:
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(
            vocab_size=1200, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
        raw.train_from_iterator(_texts(), trainer)
        names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    else:
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        raw.normalizer = normalizers.Lowercase()
        raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=1500, special_tokens=special)
        raw.train_from_iterator(_texts(), trainer)
        raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    fast: Any = PreTrainedTokenizerFast
    made = fast(tokenizer_object=raw, **names)
    made.model_max_length = 256
    made.save_pretrained(folder)
    return made


def encoder(folder: Path, seed: int = 0) -> Path:
    """Save a random BERT without a head."""
    import torch
    from transformers import BertConfig, BertModel

    made = tokenizer(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(made),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def causal(folder: Path, seed: int = 0) -> Path:
    """Save a random Llama."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    made = tokenizer(folder, causal=True)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(made),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        bos_token_id=made.bos_token_id,
        eos_token_id=made.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def recipe(base: Path, **changes: Any) -> dict[str, Any]:
    """Return the table of a small recipe on a tiny base; ``changes`` replaces whole tables."""
    table: dict[str, Any] = {
        "name": "tiny",
        "base": str(base),
        "kind": "encoder",
        "task": {
            "dataset": "shipped:feedback",
            "labels": ["complaint", "praise"],
            "train_limit": 60,
            "test_limit": 40,
        },
        "adapt": {"method": "full", "epochs": 1, "batch_size": 16, "learning_rate": 1e-3, "max_length": 48},
        "audit": {
            "bias": {"label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "pairs": 2},
            "gap": {"margin": 0.1, "limit": 60},
            "forgetting": {"limit": 60, "floor": False},
        },
    }
    return {**table, **changes}


def trained(
    base: Path, kind: Any, method: Any, items: Sequence[Item], labels: tuple[str, ...], folder: Path, seed: int = 0
) -> Path:
    """Adapt a base to labelled texts, without a recipe around it."""
    from audit.adapt import Plan, adapt
    from audit.models.source import resolve

    folder.mkdir(parents=True, exist_ok=True)
    adapt(Plan(resolve(str(base)), kind, Task(dataset="none", labels=labels), method), items, seed, folder)
    return folder


def toml(table: dict[str, Any], prefix: str = "") -> str:
    """Write a table as TOML."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    nested = [
        f"\n[{prefix}{key}]\n{toml(value, f'{prefix}{key}.')}"
        for key, value in table.items()
        if isinstance(value, dict)
    ]
    return "\n".join(plain + nested)
