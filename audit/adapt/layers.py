"""Which parameters are trained, at which rate, from which epoch on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from audit.adapt.fit import Group
from audit.errors import InputError
from audit.models.places import places
from audit.models.stored import HEAD
from audit.recipe import Gradient, Partial, Unfreeze

__all__ = ["groups_of"]

LAST = "final_layer_norm."  # OPT makes it before its layers, and uses it after them
FIRST = ("encoder.LayerNorm.", "encoder.conv.")  # DeBERTa makes them after its layers, and uses them before


def groups_of(model: Any, method: Gradient, new: set[str]) -> list[Group]:
    """Divide the parameters of a model into groups, as a method trains them; all others no longer require gradients.

    Parameters
    ----------
    model
        As it is trained: under its head, and with its tuner if it has one. On any device, ``meta`` among them.
    method : Gradient
        ``partial`` trains the head and the top ``layers``. ``unfreeze`` trains group k from the top in epoch k and
        after, at ``learning_rate / decay**k``; group 0 is the head, the lowest holds the embeddings too (Howard &
        Ruder, ACL 2018). All others train what requires gradients (of what does not, no
        method trains anything), from the start and at one rate.
    new : set of str
        Names of the tensors that the base did not have. They belong to the head, as does what stands above the layers:
        a pooler, a last norm, the language-model head unless it is tied to the embeddings.

    Returns
    -------
    list of Group
        From the top down; every parameter is in one group at most, and only what is trained is in any.

    Raises
    ------
    InputError
        If no layers are found, or fewer than the method asks for.

    Notes
    -----
    A layer is what is numbered first in the names of parameters: a block of a transformer, a stage of a convolutional
    network.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if isinstance(method, Partial):
        head, layers, _ = _stack(model, names, method.method, new)
        _refuse_more("layers", method.layers, layers, model)
        groups = [Group((*head, *_joined(layers[-method.layers :])), method.learning_rate)]
    elif isinstance(method, Unfreeze):
        groups = _gradual(model, names, method, new)
    else:
        groups = [Group(tuple(names), method.learning_rate)]
    trained = {name for group in groups for name in group.names}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    return groups


def _gradual(model: Any, names: Sequence[str], method: Unfreeze, new: set[str]) -> list[Group]:
    """The head, then groups of layers, one an epoch; what would begin after the last epoch is in no group."""
    head, layers, below = _stack(model, names, method.method, new)
    count = min(method.epochs - 1, len(layers)) if method.groups is None else method.groups
    _refuse_more("groups", count, layers, model)
    size, larger = divmod(len(layers), count)  # the topmost groups take what is left over
    parts, end = [tuple(head)], len(layers)
    for number in range(count):
        begin = end - size - (number < larger)
        parts.append(_joined(layers[begin:end]))
        end = begin
    parts[-1] = (*below, *parts[-1])
    rates = [method.learning_rate / method.decay**depth for depth in range(len(parts))]
    return [Group(part, rate, epoch) for epoch, (part, rate) in enumerate(zip(parts, rates, strict=True))][
        : method.epochs
    ]


def _stack(
    model: Any, names: Sequence[str], method: str, new: set[str]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Parameters of the head, of every layer from the inputs on, and of what is below the layers."""
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    own = any(name.startswith(prefix) for name in names)
    tops = {name for name in names if name in new or (own and not name.startswith(prefix))}
    found = places([f"{HEAD}{name}" if name in tops else name for name in names], "encoder")
    place = {name: found[f"{HEAD}{name}" if name in tops else name] for name in names}
    layers: Mapping[int, list[str]] = defaultdict(list)
    for name in names:
        if place[name].rank == 1:
            layers[place[name].numbers[0]].append(name)
    if not layers:
        raise InputError(
            f"[adapt] method = {method!r}: no layers are found in {type(model).__name__}; choose from head, full, peft"
        )
    last = max(at for at, name in enumerate(names) if place[name].rank == 1)
    above = {
        name
        for at, name in enumerate(names)
        if place[name].rank in (2, 4)
        or (place[name].rank == 3 and (at > last or LAST in name) and not any(one in name for one in FIRST))
    }
    below = [name for name in names if name not in above and place[name].rank != 1]
    return [name for name in names if name in above], [layers[number] for number in sorted(layers)], below


def _refuse_more(key: str, wanted: int, layers: Sequence[Sequence[str]], model: Any) -> None:
    if wanted > len(layers):
        raise InputError(
            f"[adapt] {key} = {wanted}: {type(model).__name__} has {len(layers)} layers; choose {len(layers)} at most"
        )


def _joined(layers: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(name for layer in layers for name in layer)
