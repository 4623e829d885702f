"""What a folder holds of weights: every tensor by one name, whichever head stands on it, without reading it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from transformers import MODEL_MAPPING

from audit.errors import InputError
from audit.models.adapters import is_adapter
from audit.models.source import Source
from audit.models.weights import load_config, read_json

__all__ = ["HEAD", "Stored", "Tensors", "read_tensor", "stored_pair", "weight_files"]

HEAD = "head/"  # begins the name of what stands on a body
OLD = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # as the first checkpoints call them


class Stored(NamedTuple):
    """Where a tensor lies, by the name that its file has for it."""

    file: Path
    name: str
    shape: tuple[int, ...]


Tensors = dict[str, Stored]
"""By the name that a model without a head has for it today."""


def stored_pair(base: Source, adapted: Source, modules: Iterable[str]) -> tuple[Tensors, Tensors]:
    """Find the tensors of both sides, but whole numbers, so that what is the same tensor has the same name.

    Parameters
    ----------
    base, adapted : Source
        Of an adapter, the tensors are found that it brings whole.
    modules : iterable of str
        Inner folders to look in, too; their names begin the names of what they hold.

    Returns
    -------
    ours, theirs : dict of str to Stored
        What belongs to a head begins with ``head/``.

    Raises
    ------
    InputError
        If the base's config cannot be used, or a shard is missing.
    """
    prefix, places = _prefix(base), ("", *modules)
    ours = _named(base.folder, places, prefix)
    theirs = _brought(adapted.folder, prefix) if is_adapter(adapted) else _named(adapted.folder, places, prefix)
    return _told(ours, theirs), _told(theirs, ours)


def weight_files(folder: Path) -> list[Path]:
    """Find the files that transformers would load: one, or the shards that an index names; none where there are none.

    Raises
    ------
    InputError
        If a shard is missing.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file() or not index.is_file():
        return [single] if single.is_file() else []
    names = sorted({Path(str(name)).name for name in read_json(index)["weight_map"].values()})
    missing = next((name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise InputError(f"{index}: names {missing}, which is not there; fetch it again")
    return [folder / name for name in names]


def read_tensor(one: Stored) -> torch.Tensor:
    """Read one tensor."""
    with safe_open(one.file, framework="pt") as tensors:
        found: torch.Tensor = tensors.get_tensor(one.name)
    return found


def _prefix(source: Source) -> str:
    """What a family's models with a head call what is below it, with its dot; empty where they have no name for it."""
    found = MODEL_MAPPING.get(type(load_config(source)), ())
    name = getattr(found[0] if isinstance(found, tuple) and found else found, "base_model_prefix", "")
    return f"{name}." if name else ""


def _named(folder: Path, places: Iterable[str], prefix: str) -> Tensors:
    return {
        f"{place}.{name}" if place else name: one
        for place in places
        for name, one in _below(weight_files(folder / place), prefix).items()
    }


def _brought(folder: Path, prefix: str) -> Tensors:
    modules = set(read_json(folder / "adapter_config.json").get("modules_to_save") or ())
    found = _below([folder / "adapter_model.safetensors"], prefix)
    return {name: one for name, one in found.items() if modules & set(one.name.split("."))}


def _below(files: Iterable[Path], prefix: str) -> Tensors:
    """Name what lies below a head as a model without one does, and say of the rest that it is the head."""
    found = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                one = tensors.get_slice(name)
                if "F" in one.get_dtype():
                    found[_today(name)] = Stored(file, name, tuple(one.get_shape()))
    headed = bool(prefix) and any(name.startswith(prefix) for name in found)
    return {
        HEAD + name if headed and not name.startswith(prefix) else name.removeprefix(prefix): one
        for name, one in found.items()
    }


def _today(name: str) -> str:
    name = name.removeprefix("base_model.model.")  # PEFT's own
    for old, new in OLD.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name


def _told(names: Tensors, other: Tensors) -> Tensors:
    """Name a head as the other side does: files without the prefix do not tell it from the body."""
    heads = {name for name in names if name not in other and HEAD + name in other}
    return {HEAD + name if name in heads else name: one for name, one in names.items()}
