"""Exploratory slices: by audit, probe, and group or domain."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from .found import chart, twin
from .read import Shown
from .table import folded, section, table
from .text import isolated
from .words import AUDITS, moved

__all__ = ["choices", "drill"]

OPEN = 3  # probes that are shown unfolded


def choices(shown: Shown) -> dict[str, list[str]]:
    """Return what can be drilled into: ``audit``, ``probe`` and ``group``, each in order of appearance."""
    slices = _slices(shown)
    keys = {"audit": "audit", "probe": "name", "group": "group"}
    return {label: list(dict.fromkeys(str(one[key]) for one in slices)) for label, key in keys.items()}


def drill(shown: Shown, audit: str | None = None, probe: str | None = None, group: str | None = None) -> str:
    """Show exploratory slices, probe by probe, the largest change first.

    Parameters
    ----------
    shown : Shown
    audit, probe, group : str, optional
        Keep slices of these only (see `choices`).
    """
    kept = [
        one
        for one in _slices(shown)
        if audit in (None, "", one["audit"]) and probe in (None, "", one["name"]) and group in (None, "", one["group"])
    ]
    return section("Drill-down", f"{_charts(shown, kept)}{_layers(shown)}")


def _slices(shown: Shown) -> list[Mapping[str, Any]]:
    return [one for one in shown.report["findings"] if one["group"] is not None]


def _charts(shown: Shown, kept: list[Mapping[str, Any]]) -> str:
    if not kept:
        return (
            "<p>No slice by group, probe or domain was measured.</p>" if not _slices(shown) else "<p>No such slice.</p>"
        )
    told = (
        f"<p class='ta-muted'>{len(kept)} exploratory slices, largest change first. The false-discovery rate is "
        "controlled (Benjamini-Hochberg), and no declared verdict rests on them.</p>"
    )
    order = {audit: n for n, audit in enumerate(AUDITS)}
    kept = sorted(kept, key=lambda one: (order.get(one["audit"], 9), one["name"], -abs(moved(one)["value"])))
    folds = []
    for n, ((audit, name), some) in enumerate(groupby(kept, key=lambda one: (one["audit"], one["name"]))):
        mine = list(some)
        count = f"{len(mine)} slice{'s' if len(mine) > 1 else ''}"
        opened = " open" if n < OPEN else ""
        title = f"{isolated(AUDITS.get(audit, audit))}: {isolated(name)} <span class='ta-muted'>{count}</span>"
        folds.append(
            f"<details class='ta-twin'{opened}><summary>{title}</summary>{chart(shown, mine, 'group')}"
            f"{folded('The same as a table', twin(shown, mine))}</details>"
        )
    return told + "".join(folds)


def _layers(shown: Shown) -> str:
    """Tell layer by layer how far the adapted model moved."""
    report, content = shown.report, ""
    if report["weights"]:
        rows = [
            [
                isolated(one["layer"]),
                f"{one['relative']:.2g}",
                f"{one['changed']:.3f}",
                f"{one['identical']} of {one['tensors']}",
            ]
            for one in report["weights"]
        ]
        head = ("layer", "weights, relative", "numbers changed", "identical tensors")
        content += table(head, rows, "How far the weights moved", (1, 2, 3))
    if report["features"]:
        told = [
            [
                *(isolated(one.get(name, "")) for name in ("layer", "where")),
                "collapsed" if one.get("cka") is None else f"{one['cka']:.3f}",
                *(f"{one.get(name, 0.0):.3f}" for name in ("cosine", "relative", "rotated")),
            ]
            for one in report["features"]
        ]
        names = ("layer", "texts", "CKA", "cosine", "distance", "after rotation")
        content += table(names, told, "How far the features moved", (2, 3, 4, 5))
    return folded("Layer by layer: how far it moved", content) if content else ""
