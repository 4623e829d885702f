"""Which base an adapted model names as its own."""

from __future__ import annotations

import json
from pathlib import Path

from audit.errors import InputError
from audit.models.source import resolve

__all__ = ["base_of"]


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
        If nobody names a base, or two of user, ``adapter_config.json`` and card name different ones.
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
    adapter, card = folder / "adapter_config.json", folder / "README.md"
    if adapter.is_file():
        try:
            name = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        except (ValueError, AttributeError):
            raise InputError(f"{adapter}: not valid JSON") from None
        if name:
            said["adapter_config.json"] = str(name)
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
