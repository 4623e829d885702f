"""Which base an adapted model names as its own."""

from __future__ import annotations

import json
from pathlib import Path

from audit.errors import InputError
from audit.models.source import resolve

__all__ = ["base_of"]

PAPERS = {"adapter_config.json": "base_model_name_or_path", "head.json": "base", "prompt.json": "base"}
"""What names a base, and under which key."""


def base_of(adapted: str, base: str | None = None) -> str:
    """Find the base of an adapted model, and refuse where its own papers disagree.

    Parameters
    ----------
    adapted : str
        Folder, GGUF file, ``package:`` or Hub id.
    base : str, optional
        What the user says it is.

    Raises
    ------
    InputError
        If nobody names a base, or two of user, card and the file of an adapter, a head or a prompt name different ones.
    """
    said = {"--base": base} if base else {}
    path = Path(adapted).expanduser()
    if not path.is_file():
        folder = resolve(adapted, weights=False).folder
        said |= _named(folder)
    else:
        said |= _named(path.parent)
    names = list({_place(name): name for name in reversed(said.values())}.values())
    if not names:
        raise InputError(f"{adapted}: neither an adapter config nor a card names its base; say it with --base")
    if len(names) > 1:
        claims = ", ".join(f"{who} says {name!r}" for who, name in said.items())
        raise InputError(f"{adapted}: its base is disputed: {claims}")
    return str(names[0])


def _place(name: str) -> str:
    """One spelling for one folder: with or without a slash, relative or absolute."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.exists() else name


def _named(folder: Path) -> dict[str, str]:
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import ModelCard

    said = {}
    card = folder / "README.md"
    for file, key in PAPERS.items():
        if not (folder / file).is_file():
            continue
        try:
            name = json.loads((folder / file).read_text(encoding="utf-8")).get(key)
        except (ValueError, AttributeError):
            raise InputError(f"{folder / file}: not valid JSON") from None
        if name:
            said[file] = str(name)
    if card.is_file():
        try:
            named = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict().get("base_model")
        except (ValueError, OSError, yaml.YAMLError):
            named = None
        if isinstance(named, list):
            named = named[0] if len(named) == 1 else None
        if named:
            said["the card"] = str(named)
    return said
