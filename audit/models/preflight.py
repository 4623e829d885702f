"""Before anything is asked: do both sides really run with the same settings?"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from audit.errors import InputError
from audit.items import passages

__all__ = ["compare_configs", "compare_tokenizers"]

# What an adaptation, or saving by another version, may legitimately change.
EXPECTED = frozenset(
    [
        "architectures",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
        "transformers_version",
        "torch_dtype",
        "dtype",
        "_name_or_path",
        "use_cache",
        "classifier_dropout",
        "gradient_checkpointing",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "attention_dropout",
        "dropout",
        "seq_classif_dropout",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
        "output_hidden_states",
        "output_attentions",
        "return_dict",
        "chunk_size_feed_forward",
        "is_decoder",
    ]
)


def compare_configs(base: Any, adapted: Any, base_id: str, adapted_id: str) -> list[dict[str, str]]:
    """Compare the effective configs field by field.

    Returns
    -------
    list of dict
        Keys ``field``, ``base``, ``adapted``, ``outcome``: differences that an adaptation explains.

    Raises
    ------
    InputError
        At the first difference that it does not explain; names the field and both values.
    """
    ours, theirs = base.to_dict(), adapted.to_dict()
    rows = []
    for field in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(field), theirs.get(field)
        if left == right:
            continue
        if field not in EXPECTED:
            raise InputError(
                f"{adapted_id}: its config has {field} = {right!r} where the base {base_id} has {left!r}; an "
                "adaptation does not explain that, so answers would not be comparable"
            )
        rows.append({"field": field, "base": str(left), "adapted": str(right), "outcome": "explained by adaptation"})
    return rows


def compare_tokenizers(
    base: PreTrainedTokenizerBase, adapted: PreTrainedTokenizerBase, base_id: str, adapted_id: str
) -> list[dict[str, str]]:
    """Check that both tokenizers turn text into the same tokens.

    Raises
    ------
    InputError
        If vocabularies differ, or a shipped passage is split differently.
    """
    if base.get_vocab() != adapted.get_vocab():
        raise InputError(f"{adapted_id}: its vocabulary is not that of the base {base_id}; answers are not comparable")
    for item in passages()[::16]:
        if base(item.text)["input_ids"] != adapted(item.text)["input_ids"]:
            raise InputError(
                f"{adapted_id}: its tokenizer splits text differently from the base's {base_id} (same vocabulary, "
                f"item {item.id!r}); answers are not comparable"
            )
    return []
