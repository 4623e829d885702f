"""Which parameters are trained, at which rate, from which epoch on."""

from __future__ import annotations

from typing import Any

from audit.adapt.fit import Group
from audit.recipe import Gradient

__all__ = ["groups_of"]


def groups_of(model: Any, method: Gradient, new: set[str]) -> list[Group]:
    """Divide the parameters of a model into groups, as a method trains them.

    ``new`` names the tensors that the base did not have: the head.
    """
    names = tuple(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return [Group(names, method.learning_rate)]
