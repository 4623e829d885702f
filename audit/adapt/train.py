"""Gradient methods through the transformers Trainer: full fine-tuning, and LoRA through PEFT."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from audit.adapt.head import new_classifier
from audit.errors import InputError
from audit.models.ask import Readout
from audit.models.batch import Progress, padded
from audit.models.source import Source
from audit.models.tokens import context, continuation, load_tokenizer, pad_token
from audit.models.weights import best_device, load_weights
from audit.recipe import Full, Lora
from audit.view import Item, Kind

__all__ = ["train", "trainable_model"]


def train(
    base: Source,
    kind: Kind,
    method: Full | Lora,
    items: Sequence[Item],
    readout: Readout,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> int:
    """Train a classifier, or the completion of a causal base, and write checkpoint or adapter.

    Returns
    -------
    int
        Number of trained parameters.
    """
    tokenizer = load_tokenizer(base)
    model = trainable_model(base, kind, method, readout.labels, seed)
    longest = min(method.max_length, context(model, tokenizer))
    if kind == "causal":
        rows = [_completion(item, readout, tokenizer, longest) for item in items]
    else:
        texts = [item.text for item in items]
        encoded = tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
        rows = [
            {"input_ids": ids, "labels": readout.labels.index(item.label or "")}
            for ids, item in zip(encoded, items, strict=True)
        ]
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=method.batch_size,
        num_train_epochs=method.epochs,
        learning_rate=method.learning_rate,
        weight_decay=method.weight_decay,
        warmup_steps=method.warmup,
        max_grad_norm=1.0,
        seed=seed,
        data_seed=seed,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        use_cpu=best_device().type == "cpu",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=_Collator(pad_token(model, tokenizer)),
        callbacks=[_Report(progress)] if progress else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    shutil.rmtree(folder / "trainer", ignore_errors=True)
    model.cpu()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if isinstance(method, Lora):
        _finish_adapter(folder, base, model)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def trainable_model(base: Source, kind: Kind, method: Full | Lora, labels: Sequence[str], seed: int) -> Any:
    """Load a base, ready to be trained by a method.

    Raises
    ------
    InputError
        If LoRA targets match no module of this base; names what they could be.
    """
    if kind == "causal":
        set_seed(seed)
        model, _ = load_weights(AutoModelForCausalLM, base)
        new: set[str] = set()
    else:
        model, new = new_classifier(base, labels, seed)
    return with_lora(model, kind, method, new) if isinstance(method, Lora) else model


def with_lora(model: Any, kind: Kind, method: Lora, new: set[str]) -> Any:
    """Put adapters beside the targets; modules that the base did not have are trained and saved whole."""
    from peft import LoraConfig, TaskType, get_peft_model

    targets: str | list[str] = method.targets if isinstance(method.targets, str) else list(method.targets)
    heads = sorted({_module_of(name, model.base_model_prefix) for name in new})
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM if kind == "causal" else TaskType.SEQ_CLS,
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=targets,
        modules_to_save=heads or None,
        bias="none",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        linear = {name.rsplit(".", 1)[-1] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
        raise InputError(
            f"[adapt] targets = {targets!r}: not to be adapted in {type(model).__name__} "
            f"({str(error).splitlines()[0][:120]}); "
            f'choose from {", ".join(sorted(linear))}, or "all-linear"'
        ) from None


def _module_of(tensor: str, prefix: str) -> str:
    """Name the module of a new tensor: ``classifier.weight`` -> classifier, ``bert.pooler.dense.weight`` -> pooler."""
    parts = [part for part in tensor.split(".") if part != prefix]
    return parts[0]


def _completion(item: Item, readout: Readout, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Any]:
    """Prompt and label name as one sequence; only the label name carries loss."""
    before, after = readout.prompt.split("{text}")
    prompt = tokenizer(before + (item.text or "") + after)["input_ids"]
    answer = continuation(tokenizer, readout.completion(item.label or ""))
    prompt = prompt[-(max_length - len(answer)) :]
    return {"input_ids": [*prompt, *answer], "labels": [-100] * len(prompt) + answer}


class _Collator:
    """Pad a batch on the right; labels of sequences are padded with -100."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = padded([row["input_ids"] for row in rows], self.pad, torch.device("cpu"))
        labels = [row["labels"] for row in rows]
        if isinstance(labels[0], int):
            return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor(labels)}
        targets, _ = padded(labels, -100, torch.device("cpu"))
        return {"input_ids": ids, "attention_mask": mask, "labels": targets}


class _Report(TrainerCallback):
    """Tell how many steps are done."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.progress(state.global_step, state.max_steps)


def _finish_adapter(folder: Path, base: Source, model: Any) -> None:
    """Name the base as the recipe does, pinned, instead of the folder it was read from; keep the label names."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"], config["revision"] = base.id, base.revision
    path.write_text(json.dumps(config, indent=2, sort_keys=True))
    (folder / "README.md").unlink(missing_ok=True)  # a generic card; ours is rendered from the report
    inner = model.get_base_model().config
    inner.save_pretrained(folder)
