"""Drift of weights: how far each layer of an adapted model lies from its base's, tensor by tensor."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from audit.errors import InputError
from audit.models.adapters import is_adapter, load_adapter
from audit.models.headed import is_head, read_head
from audit.models.places import Place, is_embedding, places
from audit.models.prompt import weightless
from audit.models.source import Source, module_folders
from audit.models.stored import HEAD, Tensors, read_tensor, stored_pair
from audit.models.weights import first_line
from audit.retention import WeightDrift
from audit.view import Kind, NotMeasurable

__all__ = ["unshared", "weight_drift"]

BLOCK = 2**20  # numbers that are compared at once
WRAPPED = re.compile(r"\.(base_layer|original_module|token_adapter)(?=\.|$)")  # where PEFT keeps what it wraps

Pairs = Iterator[tuple[str, torch.Tensor, torch.Tensor]]
"""Name of a tensor, what it is in the base, and in the adapted model."""


def weight_drift(base: Source, adapted: Source, kind: Kind) -> list[WeightDrift]:
    """Measure how far the weights of each layer moved, over the tensors that both sides have.

    Parameters
    ----------
    base, adapted : Source
        ``adapted`` is a full checkpoint, read tensor by tensor from its files, or a PEFT adapter, merged layer by layer
        into the one copy of the base that is loaded.
    kind : {"encoder", "sentence_encoder", "causal", "vision", "clip"}
        Of the base.

    Returns
    -------
    list of WeightDrift
        From the inputs on: ``embeddings``, ``layer 0`` … (``layer 1.2`` is the third of the second stage), ``pooler``,
        ``other`` (a last norm, say), ``head``; of a model of images and texts, each tower has its own.
        ``relative`` is ‖adapted - base‖ / ‖base‖ over a layer's numbers (1 where all of the base's were zeros and are
        no more), ``changed`` the share of them that is another number.

    Raises
    ------
    InputError
        If the adapter does not fit the base.
    NotMeasurable
        If the files share too few names, weights are not finite, or the adapter cannot be merged.

    Notes
    -----
    Both sides are compared as they are asked, in float32: what was kept of a base in bfloat16 is equal, whichever
    precision the adapted model was written in. Tensors that one side lacks (a new head) are left out; `unshared` names
    them. Rows of a table of embeddings that one side lacks are held against zeros. Whole numbers are no weights. A
    prompt that was learnt lies beside the weights: all of them are the base's. So does a head in a file of its own.
    """
    if weightless(adapted):
        pairs = _of_files(base, base)
    else:
        pairs = _of_adapter(base, adapted, kind) if is_adapter(adapted) else _of_files(base, adapted)
    moved = {name: _moved(name, before, after, adapted) for name, before, after in pairs}
    layers: dict[Place, list[_Moved]] = defaultdict(list)
    for name, place in places(moved, kind).items():
        layers[place].append(moved[name])
    return [_record(place.name, layers[place]) for place in sorted(layers)]


def unshared(base: Source, adapted: Source) -> tuple[list[str], list[str]]:
    """Name the tensors that were not compared: those of the base alone, and those of the adapted model alone.

    A tensor of another shape on each side is in both lists; what belongs to a head begins with ``head/``.
    """
    heads = _head_tensors(adapted)
    if weightless(adapted):
        return [], heads
    ours, theirs = _sides(base, adapted)
    if is_adapter(adapted):
        return [], sorted(theirs.keys() - ours.keys())
    shared = set(_shared(ours, theirs))
    return sorted(ours.keys() - shared), sorted([*(theirs.keys() - shared), *heads])


def _head_tensors(adapted: Source) -> list[str]:
    if not is_head(adapted):
        return []
    layers = range(len(read_head(adapted).layers))
    return [f"{HEAD}{number}.{part}" for number in layers for part in ("bias", "weight")]


# --- one tensor, one layer --------------------------------------------------------------------------------------------


class _Moved(NamedTuple):
    """Of one tensor: squared distance, squared size, numbers that changed, numbers."""

    distance: float
    size: float
    changed: int
    numbers: int


def _moved(name: str, before: torch.Tensor, after: torch.Tensor, adapted: Source) -> _Moved:
    distance = size = 0.0
    changed = 0
    ours, theirs = (one.detach().flatten() for one in (before, after))
    for begin in range(0, len(ours), BLOCK):
        a, b = (one[begin : begin + BLOCK].float().cpu() for one in (ours, theirs))
        changed += int((a != b).sum())
        size += float(a.double().square().sum())
        distance += float((b.double() - a.double()).square().sum())
    if not math.isfinite(distance + size):
        raise NotMeasurable("weight drift", f"{adapted.id}: {name!r} is not finite there or in the base")
    return _Moved(distance, size, changed, before.numel())


def _record(layer: str, tensors: Sequence[_Moved]) -> WeightDrift:
    distance, size = (
        math.sqrt(sum(column)) for column in zip(*((one.distance, one.size) for one in tensors), strict=True)
    )
    return WeightDrift(
        layer=layer,
        tensors=len(tensors),
        identical=sum(one.changed == 0 for one in tensors),
        relative=distance / size if size else float(distance > 0),
        changed=sum(one.changed for one in tensors) / sum(one.numbers for one in tensors),
    )


# --- full checkpoints -------------------------------------------------------------------------------------------------


def _of_files(base: Source, adapted: Source) -> Pairs:
    ours, theirs = _sides(base, adapted)
    shared = _shared(ours, theirs)
    body, met = ([name for name in names if not name.startswith(HEAD)] for names in (ours, shared))
    if 2 * len(met) < len(body):
        raise NotMeasurable(
            "weight drift",
            f"{adapted.id} has {len(met)} of the {len(body)} tensors that {base.id} has below its head: they are of "
            "different architectures, or their files name them differently",
        )
    for name in shared:
        before, after = read_tensor(ours[name]), read_tensor(theirs[name])
        rows = max(len(before), len(after)) if before.shape != after.shape else 0
        yield name, _filled(before, rows), _filled(after, rows)


def _filled(table: torch.Tensor, rows: int) -> torch.Tensor:
    """A table with zeros for the rows that it lacks."""
    if len(table.shape) < 2 or len(table) >= rows:
        return table
    return torch.cat([table, table.new_zeros(rows - len(table), table.shape[1])])


def _shared(ours: Tensors, theirs: Tensors) -> list[str]:
    """Names of what can be compared."""
    return [name for name in ours if name in theirs and _alike(name, ours[name].shape, theirs[name].shape)]


def _alike(name: str, ours: tuple[int, ...], theirs: tuple[int, ...]) -> bool:
    grown = len(ours) == len(theirs) == 2 and ours[1] == theirs[1] and is_embedding(name)
    return ours == theirs or grown


def _sides(base: Source, adapted: Source) -> tuple[Tensors, Tensors]:
    return stored_pair(base, adapted, dict.fromkeys(module_folders(base.folder) + module_folders(adapted.folder)))


# --- adapters ---------------------------------------------------------------------------------------------------------


def _of_adapter(base: Source, adapted: Source, kind: Kind) -> Pairs:
    if kind == "clip":
        raise InputError(f"{adapted.id}: an adapter on a model of images and texts is audited as a merged checkpoint")
    loaded = load_adapter(base, adapted, kind)
    model = loaded.peft.get_base_model()
    prefix = f"{model.base_model_prefix}."
    headed = model.base_model is not model
    own_head = bool(loaded.base_labels) or not loaded.labels  # else what is below the adapter's head was drawn
    pooled = any("pooler" in name for name in _sides(base, adapted)[0])
    for name, before, after in _merged(model, adapted):
        below = not headed or name.startswith(prefix)
        if (below or own_head) and (pooled or "pooler" not in name):
            yield name.removeprefix(prefix) if below else HEAD + name, before, after


@torch.no_grad()
def _merged(model: Any, adapted: Source) -> Pairs:
    """Merge an adapter into its base, layer by layer; of what it does not touch both sides are one tensor.

    Merging is the one way to the weights that every tuner knows: what a delta is differs from one to the next.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    touched: list[str] = []
    seen = set()
    modules: list[tuple[str, Any]] = list(model.named_modules())
    for path, module in modules:
        if path.startswith(tuple(touched)):
            continue
        if isinstance(module, ModulesToSaveWrapper):
            before = dict(module.original_module.named_parameters())
            after = dict(module.modules_to_save[module.active_adapters[0]].named_parameters())
        elif isinstance(module, BaseTunerLayer):
            before = {name: one.clone() for name, one in module.get_base_layer().named_parameters()}
            _merge([part for inside, part in modules if f"{inside}.".startswith(f"{path}.")], adapted)
            after = dict(module.get_base_layer().named_parameters())
        else:
            continue
        touched.append(f"{path}.")
        for name, one in before.items():
            seen.add(f"{WRAPPED.sub('', path)}.{name}")
            yield f"{WRAPPED.sub('', path)}.{name}", one, after[name]
    for path, one in model.named_parameters():
        name = WRAPPED.sub("", path)
        if name not in seen and not path.startswith(tuple(touched)):
            yield name, one, one


def _merge(parts: Sequence[Any], adapted: Source) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    try:
        for part in parts:
            if isinstance(part, BaseTunerLayer):
                part.merge()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise NotMeasurable("weight drift", f"{adapted.id}: it cannot be merged ({first_line(error)})") from None
