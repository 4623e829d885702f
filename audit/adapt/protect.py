"""What keeps a model near its base while it is trained: penalties, rehearsal, and when to stop."""

from __future__ import annotations

from typing import Any

from audit.adapt.fit import Penalty
from audit.adapt.plan import Plan

__all__ = ["penalties"]


def penalties(plan: Plan, model: Any, seed: int) -> list[Penalty]:
    """List what the method's ``protect`` adds to the loss; nothing of strength 0."""
    return []
