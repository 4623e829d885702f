"""Pieces of text: which tokens of a vocabulary stand for no whole character."""

from __future__ import annotations

import json
import re
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

__all__ = ["broken_tokens"]

FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


def broken_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the tokens that stand for no whole character.

    Parameters
    ----------
    tokenizer
        Of words and their parts (with an unknown token), of bytes, or of characters that falls back to bytes.

    Returns
    -------
    frozenset of int
        The unknown token; pieces ``<0xNN>`` of a byte beyond ASCII; and in a byte-level vocabulary the pieces whose
        bytes are not valid UTF-8 by themselves.
    """
    unknown = tokenizer.unk_token_id
    known = {token for token in tokenizer.all_special_ids if token != unknown}
    spelt = {character: byte for byte, character in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]
    in_bytes = _is_byte_level(tokenizer)
    broken = set() if unknown is None or _ends(tokenizer, unknown) else {unknown}
    for piece, token in tokenizer.get_vocab().items():
        if token in known:
            continue
        fallback = FALLBACK.fullmatch(piece)
        if fallback is not None and not in_bytes:
            if int(fallback[1], 16) > 127:
                broken.add(token)
        elif in_bytes and all(character in spelt for character in piece):
            try:
                bytes(spelt[character] for character in piece).decode()
            except UnicodeDecodeError:
                broken.add(token)
    return frozenset(broken)


def _ends(tokenizer: PreTrainedTokenizerBase, token: int) -> bool:
    """Tell whether a token ends texts, too: byte-level tokenizers name theirs unknown, and never meet one."""
    return token in (tokenizer.eos_token_id, tokenizer.bos_token_id)


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {}
    parts = [rules.get("pre_tokenizer"), rules.get("decoder")]
    return any('"ByteLevel"' in json.dumps(part) for part in parts)
