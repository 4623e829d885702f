"""What a report must hold to be shown: the first place where it does not is named, instead of failing there later."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["OPTIONAL", "REPORT", "misfit"]

TEXT, NUMBER, COUNT, TABLE = "a text", "a number", "a count", "a table"
MAYBE = {name: f"{name} or null" for name in (TEXT, NUMBER, COUNT)}

# a dict names what must be there, a list holds its kind, a tuple of one is that or null
ESTIMATE: dict[str, Any] = {"value": NUMBER, "low": MAYBE[NUMBER], "high": MAYBE[NUMBER]}
OPTIONAL = {**dict.fromkeys(("group", "ideal", "floor", "p", "n_needed", "origin")), "note": "", "alpha": 0.05}
FINDING: dict[str, Any] = {
    "id": TEXT, "audit": TEXT, "name": TEXT, "group": MAYBE[TEXT], "question": TEXT, "unit": TEXT,
    "ideal": MAYBE[NUMBER], "base": (ESTIMATE,), "adapted": ESTIMATE, "change": (ESTIMATE,), "margin": NUMBER,
    "alpha": NUMBER, "family": TEXT, "adjustment": TEXT, "method": TEXT,
    "decision": {"same": [MAYBE[NUMBER]], "beyond": [MAYBE[NUMBER]]}, "floor": MAYBE[NUMBER], "p": MAYBE[NUMBER],
    "n_items": COUNT, "n_clusters": COUNT, "n_needed": MAYBE[COUNT], "origin": MAYBE[TEXT], "items": TEXT,
    "note": TEXT, "verdict": ("worse", "same", "better", "unclear"),
}  # fmt: skip
PART = {"estimate": ESTIMATE}
ARMS = ("adapted", "base", "silent", "floor", "random", "inherited", "introduced", "change")
DECOMPOSITION: dict[str, Any] = {
    **dict.fromkeys(ARMS, PART),
    **{"finding": TEXT, "margin": NUMBER, "seeds": [COUNT], "n_clusters": COUNT, "capable": "a truth", "origin": TEXT},
    "outcome": MAYBE[TEXT],
}
SCALE: dict[str, Any] = {
    **{"name": TEXT, "question": TEXT, "unit": TEXT, "note": TEXT, "root": "a truth"},
    **{"null": NUMBER, "measured": ESTIMATE, "ceiling": NUMBER, "position": NUMBER},
}
TEXTS: dict[str, Any] = {"n": NUMBER, "only": MAYBE[TEXT]}
SAVING: dict[str, Any] = {
    **{"how": TEXT, "control": TEXT, "n": COUNT, "value": NUMBER, "low": NUMBER, "high": NUMBER},
    **{"texts": TEXTS, "texts_low": TEXTS, "texts_high": TEXTS},
}
NEEDED: dict[str, Any] = {
    **{"arm": TEXT, "how": TEXT, "target": NUMBER},
    **{"texts": TEXTS, "texts_low": TEXTS, "texts_high": TEXTS},
}
STRENGTH: dict[str, Any] = {
    **{"alpha": NUMBER, "task": ESTIMATE, "gain": ESTIMATE, "findings": [FINDING], "broken": [TEXT]},
    "retained": "a truth",
}
TASK: dict[str, Any] = {
    **{"name": TEXT, "metric": TEXT, "better": ("higher", "lower")},
    **{"base": (ESTIMATE,), "adapted": ESTIMATE, "change": (ESTIMATE,)},
}
REPORT: dict[str, Any] = {
    "tool": TEXT,
    "recipe": {"name": TEXT, "fingerprint": TEXT, "text": TEXT},
    "base": {"id": TEXT, "revision": MAYBE[TEXT], "kind": TEXT, "license": MAYBE[TEXT], "files": TABLE},
    "adapted": {"id": TEXT, "method": TEXT, "trainable_parameters": MAYBE[COUNT], "seeds": [COUNT], "files": TABLE},
    "task": (TASK,),
    "arms": [{"name": TEXT, "task": MAYBE[NUMBER]}],
    "preflight": [TABLE],
    "floor": [TABLE],
    "findings": [FINDING],
    "decompositions": [DECOMPOSITION],
    "scales": [SCALE],
    "curves": [{"arm": TEXT, "how": TEXT, "points": [{"n": COUNT, "error": ESTIMATE}]}],
    "savings": [SAVING],
    "needed": [NEEDED],
    "broken": [TEXT],
    "flips": [{"finding": TEXT, "n": COUNT, "both": COUNT, "lost": COUNT, "gained": COUNT, "neither": COUNT}],
    "weights": [{"layer": TEXT, "tensors": COUNT, "identical": COUNT, "relative": NUMBER, "changed": NUMBER}],
    "curve": [STRENGTH],
    "diligence": [{"name": TEXT, "outcome": ("pass", "warn", "fail", "unknown"), "said": TEXT}],
    "provenance": {"created": TEXT, "command": TEXT, "versions": TABLE, "hardware": TABLE, "data": [TABLE]},
    "limits": [TEXT],
}


def misfit(value: Any, shape: Any, where: str = "report") -> str:
    """Say where a value is not of its shape; empty if it is.

    Examples
    --------
    >>> misfit({"value": "x", "low": None, "high": None}, ESTIMATE, "base")
    'base.value is not a number'
    >>> misfit({"value": 1.5, "low": None, "high": None}, ESTIMATE, "base")
    ''
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} is not a table"
        missing = next((name for name in shape if name not in value), None)
        if missing is not None:
            return f"{where} has no {missing!r}"
        return next((wrong for name in shape if (wrong := misfit(value[name], shape[name], f"{where}.{name}"))), "")
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is not a list"
        return next((wrong for n, one in enumerate(value) if (wrong := misfit(one, shape[0], f"{where}.{n}"))), "")
    if isinstance(shape, tuple) and len(shape) == 1:
        return "" if value is None else misfit(value, shape[0], where)
    if isinstance(shape, tuple):
        return "" if isinstance(value, str) and value in shape else f"{where} is none of {', '.join(shape)}"
    return "" if _is(value, shape) else f"{where} is not {shape}"


def _is(value: Any, kind: str) -> bool:
    if kind.endswith(" or null"):
        return value is None or _is(value, kind.removesuffix(" or null"))
    if kind == NUMBER:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value)
    wanted: dict[str, type] = {TEXT: str, COUNT: int, TABLE: dict, "a truth": bool}
    return isinstance(value, wanted[kind]) and not (kind == COUNT and isinstance(value, bool))


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
