"""A model between base and adapted: weights interpolated, or the update of a LoRA scaled."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from audit.errors import InputError
from audit.models.adapters import is_adapter
from audit.models.headed import NUMBERS
from audit.models.prompt import weightless
from audit.models.source import Source, module_folders
from audit.models.stored import HEAD, Stored, Tensors, read_tensor, stored_pair, weight_files
from audit.models.weights import first_line, read_json
from audit.stages import sync

__all__ = ["between", "soften"]

WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ot", ".ckpt"}
STARTS = (True, False, "gaussian", "eva", "orthogonal", "mica")  # of a LoRA that leave the base's weights as they are
DOWN, UP = {"lora_A", "lora_embedding_A"}, {"lora_B", "lora_embedding_B"}
NOTHING = (
    "{}: every tensor that it shares with the base {} is the base's own (only a head was trained, say): there is "
    "nothing between the two"
)
MERGE = "merge it into a checkpoint, and soften that"
VARIANTS = ("use_dora", "layer_replication", "arrow_config", "trainable_token_indices")  # not linear, or not beside it

Partners = dict[Stored, Stored]
"""By an adapted tensor, the base's."""

Made = Callable[[str, torch.Tensor], torch.Tensor]
"""Makes the tensor that is written from the adapted one of that name."""


def soften(base: Source, adapted: Source, alpha: float, folder: Path) -> Path:
    """Write the model at a strength between base and adapted.

    Parameters
    ----------
    base, adapted : Source
        ``adapted`` is a full checkpoint, or a LoRA adapter.
    alpha : float
        0 is the base, bit for bit, under the heads that only the adapted model has; 1 is the adapted model.
    folder : Path
        Must not exist; it appears whole or not at all. Config, tokenizer and all else of the adapted folder are copied,
        but weights in other formats and inner folders that belong to no module; ``softened.json`` says what it is.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    InputError
        If alpha is no strength, ``folder`` exists, both sides have other tensors (a vocabulary that grew, say), the
        adapter is no plain LoRA, or nothing but a head was trained, so that there is nothing between.

    Notes
    -----
    Of a checkpoint, theta = (1 - alpha) theta_0 + alpha theta_1 for every tensor that both sides have (WiSE-FT,
    Wortsman et al., arXiv 2109.01903). Of a LoRA, B is multiplied by alpha, which scales its update B·A. Both are
    computed in float32 and kept in the finer precision of the two files. One file of weights is in memory at a time.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha = {alpha:g}: a strength lies between 0 (the base) and 1 (the adapted model)")
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another folder with --out, or remove it")
    if weightless(adapted):
        raise InputError(NOTHING.format(adapted.id, base.id))
    for side in (base, adapted):
        config = side.folder / "config.json"
        if config.is_file() and read_json(config).get("quantization_config"):
            raise InputError(f"{side.id}: its weights are quantised; there is nothing between two of them")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
    try:
        (_scaled if is_adapter(adapted) else _interpolated)(base, adapted, alpha, temporary)
        said = {"alpha": alpha, "base": base.id, "revision": base.revision, "adapted": Path(adapted.id).name}
        (temporary / "softened.json").write_text(json.dumps(said))
        os.chmod(temporary, 0o755)
        sync(temporary)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


def between(base: torch.Tensor, adapted: torch.Tensor, alpha: float) -> torch.Tensor:
    """Interpolate one tensor, in the finer precision of the two; whole numbers are the adapted ones.

    Examples
    --------
    >>> between(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 2.0]), 0.25)
    tensor([0.2500, 2.0000])
    """
    if alpha == 1 or not adapted.is_floating_point():
        return adapted
    finer = torch.promote_types(base.dtype, adapted.dtype)
    if alpha == 0:
        return base.to(finer)
    wide = torch.promote_types(finer, torch.float32)
    return torch.lerp(base.to(wide), adapted.to(wide), alpha).to(finer)  # equal ends stay equal bit for bit


# --- a checkpoint -----------------------------------------------------------------------------------------------------


def _interpolated(base: Source, adapted: Source, alpha: float, target: Path) -> None:
    modules = module_folders(adapted.folder)
    own, other = stored_pair(base, adapted, modules)
    _refuse_other_tensors(own, other, base, adapted)
    partner = _partners(own, other, base, adapted)
    if not any(_moved(*pair) for pair in partner.items()):
        raise InputError(NOTHING.format(adapted.id, base.id))
    for place in ("", *modules):
        _copy(adapted.folder / place, target / place)
        for file in weight_files(adapted.folder / place):
            _write(file, target / place / file.name, _between(partner, file, alpha))


def _moved(one: Stored, base: Stored) -> bool:
    adapted = read_tensor(one)
    return not torch.equal(read_tensor(base).to(adapted.dtype), adapted)


def _between(partner: Partners, file: Path, alpha: float) -> Made:
    inside = {one.name: base for one, base in partner.items() if one.file == file}

    def made(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return between(read_tensor(inside[name]), tensor, alpha) if name in inside else tensor

    return made


def _is_backbone(name: str) -> bool:
    """Tell what both sides must have: all below a head, but the pooler, which models have or have not."""
    return not name.startswith(HEAD) and "pooler" not in name.split(".")


def _refuse_other_tensors(own: Tensors, other: Tensors, base: Source, adapted: Source) -> None:
    """Refuse backbones that are not made of the same tensors."""
    for names, has, lacks in ((own.keys() - other, base, adapted), (other.keys() - own, adapted, base)):
        name = min(filter(_is_backbone, names), default=None)
        if name is not None:
            raise InputError(
                f"{lacks.id}: has no tensor {name!r}, which {has.id} has; models of other tensors have nothing between "
                "them (if only the names differ, save both by one version of transformers)"
            )


def _partners(own: Tensors, other: Tensors, base: Source, adapted: Source) -> Partners:
    """Find the base's tensor of every adapted one; none for heads that only the adapted model has."""
    partner: Partners = {}
    for name, one in other.items():
        if name in own and own[name].shape == one.shape:
            partner[one] = own[name]
        elif name in own and _is_backbone(name):
            raise InputError(
                f"{adapted.id}: tensor {one.name!r} has shape {list(one.shape)}, in the base {base.id} "
                f"{list(own[name].shape)} (did the vocabulary grow?): there is nothing between the two"
            )
    alone = [one for name, one in other.items() if name not in own]
    for one in alone:  # tied weights may be saved twice: the second copy has the partner of the first
        alike = [twin for twin in other.values() if twin in partner and twin.shape == one.shape]
        twin = next((twin for twin in alike if len(one.shape) == 2 and not _moved(one, twin)), None)
        if twin is not None:
            partner[one] = partner[twin]
    return partner


# --- an adapter -------------------------------------------------------------------------------------------------------


def _scaled(base: Source, adapted: Source, alpha: float, target: Path) -> None:
    settings = read_json(adapted.folder / "adapter_config.json")
    _refuse_other_adapters(adapted, settings)
    file = adapted.folder / "adapter_model.safetensors"
    if not file.is_file():
        raise InputError(f"{adapted.id}: there is no {file.name} in it; other formats are not loaded")
    parts = {*DOWN, *UP, *(settings.get("modules_to_save") or ())}
    with safe_open(file, framework="pt") as tensors:
        strange = next((name for name in tensors.keys() if not parts & set(name.split("."))), None)  # noqa: SIM118
    if strange is not None:
        raise InputError(f"{adapted.id}: its file holds {strange!r}, which is no part of a plain LoRA; {MERGE}")
    own, whole = stored_pair(base, adapted, ())  # heads, and now and then the base's own modules
    brought = _between(_partners(own, whole, base, adapted), file, alpha)

    def made(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if set(name.split(".")) & UP:
            return between(torch.zeros_like(tensor), tensor, alpha)
        return brought(name, tensor)

    _copy(adapted.folder, target)
    _write(file, target / file.name, made)


def _refuse_other_adapters(adapted: Source, settings: dict[str, Any]) -> None:
    kind, start = settings.get("peft_type"), settings.get("init_lora_weights", True)
    if kind != "LORA":
        raise InputError(f"{adapted.id}: an adapter of type {kind}; only a LoRA's update can be scaled; {MERGE}")
    variant = next((name for name in VARIANTS if settings.get(name)), None)
    if variant is not None:
        raise InputError(f"{adapted.id}: a LoRA with {variant} is not linear in its strength; {MERGE}")
    if settings.get("bias", "none") != "none" or start not in STARTS:
        what = f"bias = {settings['bias']!r}" if start in STARTS else f"init_lora_weights = {start!r}"
        raise InputError(f"{adapted.id}: a LoRA with {what} changes the base's own weights; {MERGE}")


# --- files ------------------------------------------------------------------------------------------------------------


def _write(source: Path, target: Path, made: Made) -> None:
    """Write one file of weights."""
    with safe_open(source, framework="pt") as tensors:
        written = {name: made(name, tensors.get_tensor(name)).contiguous() for name in tensors.keys()}  # noqa: SIM118
        metadata = tensors.metadata()
    try:
        save_file(written, target, metadata=metadata)
    except SafetensorError as error:  # the disk's error in its own words
        raise OSError(0, first_line(error), str(target)) from None


def _copy(source: Path, target: Path) -> None:
    """Copy what is no weight."""
    target.mkdir(exist_ok=True)
    for file in source.iterdir():
        kept = file.suffix not in WEIGHTS or file.name == NUMBERS  # a head stays as it is
        if file.is_file() and kept and not file.name.startswith(".") and file.name != "seconds":
            shutil.copyfile(file, target / file.name)
