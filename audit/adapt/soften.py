"""A model between base and adapted: weights interpolated, or the update of a LoRA scaled."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import AutoModel

from audit.errors import InputError
from audit.models.adapters import is_adapter
from audit.models.source import Source, module_folders
from audit.models.weights import first_line, load_config, read_json

__all__ = ["between", "soften"]

WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ot", ".ckpt"}
STARTS = (True, False, "gaussian", "eva", "orthogonal", "mica")  # of a LoRA that leave the base's weights as they are
DOWN, UP = {"lora_A", "lora_embedding_A"}, {"lora_B", "lora_embedding_B"}
MERGE = "merge it into a checkpoint, and soften that"
VARIANTS = ("use_dora", "layer_replication", "arrow_config", "trainable_token_indices")  # not linear, or not beside it

Named = dict[str, tuple[Path, str]]
"""By the name of a tensor without the backbone's prefix: the file, and its name there."""

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
        but weights in other formats and inner folders that belong to no module.

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
    computed in float32 and kept in the precision of the adapted file. One file of weights is in memory at a time.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha = {alpha:g}: a strength lies between 0 (the base) and 1 (the adapted model)")
    if folder.exists():
        raise InputError(f"{folder}: exists already; choose another folder with --out, or remove it")
    for side in (base, adapted):
        config = side.folder / "config.json"
        if config.is_file() and read_json(config).get("quantization_config"):
            raise InputError(f"{side.id}: its weights are quantised; there is nothing between two of them")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
    try:
        (_scaled if is_adapter(adapted) else _interpolated)(base, adapted, alpha, temporary)
        os.chmod(temporary, 0o755)
        _sync(temporary)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


def between(base: torch.Tensor, adapted: torch.Tensor, alpha: float) -> torch.Tensor:
    """Interpolate one tensor, in the precision of the adapted one; whole numbers are the adapted ones.

    Examples
    --------
    >>> between(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 2.0]), 0.25)
    tensor([0.2500, 2.0000])
    """
    if alpha == 1 or not adapted.is_floating_point():
        return adapted
    if alpha == 0:
        return base.to(adapted.dtype)
    wide = torch.promote_types(adapted.dtype, torch.float32)
    return torch.lerp(base.to(wide), adapted.to(wide), alpha).to(adapted.dtype)  # equal ends stay equal bit for bit


# --- a checkpoint -----------------------------------------------------------------------------------------------------


def _interpolated(base: Source, adapted: Source, alpha: float, target: Path) -> None:
    prefix, moved = _prefix(adapted), False
    for place in ("", *module_folders(adapted.folder)):
        ours, theirs, made = (folder / place for folder in (base.folder, adapted.folder, target))
        _copy(theirs, made)
        files = _weight_files(theirs)
        if not files:
            continue
        own, other = _named(_weight_files(ours), prefix), _named(files, prefix)
        _refuse_other_tensors(own, other, prefix, base, adapted)
        partner = _partners(own, other, _backbone(other, prefix), base, adapted)
        moved = moved or any(_moved(*place, *partner[place[1]]) for place in other.values() if place[1] in partner)
        for file in files:
            _write(file, made / file.name, _between(partner, alpha))
    if not moved:
        raise InputError(
            f"{adapted.id}: every tensor that it shares with the base {base.id} is the base's own (only a head was "
            "trained, say): there is nothing between the two"
        )


def _moved(file: Path, name: str, base_file: Path, base_name: str) -> bool:
    adapted = _read(file, name)
    return not torch.equal(_read(base_file, base_name).to(adapted.dtype), adapted)


def _between(partner: Named, alpha: float) -> Made:
    def made(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return between(_read(*partner[name]), tensor, alpha) if name in partner else tensor

    return made


def _prefix(source: Source) -> str:
    """What stands before a backbone's tensors in the file of a model with a head: ``bert.``, say."""
    config = load_config(source)
    try:
        kind: Any = AutoModel._model_mapping[type(config)]
    except KeyError:
        raise InputError(f"{source.id}: transformers knows no backbone for {type(config).__name__}") from None
    named = str((kind[0] if isinstance(kind, tuple) else kind).base_model_prefix)
    return f"{named}." if named else ""


def _weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights: one, or shards."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return []
    names = sorted({Path(str(name)).name for name in read_json(index)["weight_map"].values()})
    missing = next((name for name in names if not (folder / name).is_file()), None)
    if missing is not None:
        raise InputError(f"{index}: names {missing}, which is not there; fetch it again")
    return [folder / name for name in names]


def _named(files: Iterable[Path], prefix: str) -> Named:
    """Find every tensor by one spelling: without the backbone's prefix, and as norms are called today."""
    found: Named = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                found[_bare(name, prefix)] = file, name
    return found


def _bare(name: str, prefix: str) -> str:
    bare = name.removeprefix(prefix)
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        bare = bare.removesuffix(old) + new if bare.endswith(old) else bare
    return bare


def _backbone(named: Named, prefix: str) -> set[str]:
    """Tensors of the backbone: those with its prefix, or all of a file that was saved without a head.

    Left out is the pooler, which models have or have not.
    """
    headed = any(name.startswith(prefix) for _, name in named.values())
    return {
        bare
        for bare, (_, name) in named.items()
        if (name.startswith(prefix) or not headed) and "pooler" not in bare.split(".")
    }


def _refuse_other_tensors(own: Named, other: Named, prefix: str, base: Source, adapted: Source) -> None:
    """Refuse backbones that are not made of the same tensors; buffers of whole numbers may be saved or not."""
    ours, theirs = _backbone(own, prefix), _backbone(other, prefix)
    for named, bare, has, lacks in (
        *((own, bare, base, adapted) for bare in sorted(ours - other.keys())),
        *((other, bare, adapted, base) for bare in sorted(theirs - own.keys())),
    ):
        if _read(*named[bare]).is_floating_point():
            raise InputError(
                f"{lacks.id}: has no tensor {bare!r}, which {has.id} has; models of other tensors have nothing between "
                "them (if only the names differ, save both by one version of transformers)"
            )


def _partners(own: Named, other: Named, backbone: set[str], base: Source, adapted: Source) -> Named:
    """By the name of an adapted tensor in its file, the base's; none for heads that only the adapted model has."""
    partner: Named = {}
    alone = []
    for bare, (file, name) in other.items():
        if bare not in own:
            alone.append((file, name))
            continue
        here, there = _shape(*own[bare]), _shape(file, name)
        if here == there:
            partner[name] = own[bare]
        elif bare in backbone:
            raise InputError(
                f"{adapted.id}: tensor {name!r} has shape {there}, in the base {base.id} {here} (did the vocabulary "
                "grow?): there is nothing between the two"
            )
    for file, name in alone:  # tied weights may be saved twice: the second copy has the partner of the first
        shape = _shape(file, name)
        alike = [place for place in other.values() if place[1] in partner and _shape(*place) == shape]
        twin = next((place for place in alike if len(shape) == 2 and not _moved(file, name, *place)), None)
        if twin is not None:
            partner[name] = partner[twin[1]]
    return partner


# --- an adapter -------------------------------------------------------------------------------------------------------


def _scaled(base: Source, adapted: Source, alpha: float, target: Path) -> None:
    settings = read_json(adapted.folder / "adapter_config.json")
    _refuse_other_adapters(adapted, settings)
    file = adapted.folder / "adapter_model.safetensors"
    if not file.is_file():
        raise InputError(f"{adapted.id}: there is no {file.name} in it; other formats are not loaded")
    carried = set(settings.get("modules_to_save") or ())
    prefix = _prefix(base)
    whole: Named = {}  # modules that the adapter brings whole: heads, and now and then the base's own
    backbone = set()
    for bare, (_, name) in _named([file], "base_model.model.").items():
        parts = set(bare.split("."))
        if parts & {*DOWN, *UP}:
            continue
        if not parts & carried:
            raise InputError(f"{adapted.id}: its file holds {name!r}, which is no part of a plain LoRA; {MERGE}")
        whole[_bare(bare, prefix)] = file, name
        backbone |= {_bare(bare, prefix)} if bare.startswith(prefix) else set()
    brought = _between(_partners(_named(_weight_files(base.folder), prefix), whole, backbone, base, adapted), alpha)

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


def _read(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, framework="pt") as tensors:
        found: torch.Tensor = tensors.get_tensor(name)
    return found


def _shape(file: Path, name: str) -> list[int]:
    with safe_open(file, framework="pt") as tensors:
        return list(tensors.get_slice(name).get_shape())


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
        if file.is_file() and file.suffix not in WEIGHTS and not file.name.startswith("."):
            shutil.copyfile(file, target / file.name)


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
