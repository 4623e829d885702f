"""Scales: a position follows from its ends, and a report that says another is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from audit.errors import InputError
from audit.finding import Estimate
from audit.report import load_report
from audit.scale import Scale

ENDS: dict[str, Any] = {"name": "x", "question": "how far", "unit": "m", "null": 0.1, "ceiling": 0.5}


@pytest.mark.parametrize(
    ("measured", "root", "position"),
    [(0.1, False, 0.0), (0.5, False, 1.0), (0.3, False, 0.5), (0.2, True, 0.5), (0.0, True, -0.5), (0.9, False, 2.0)],
)
def test_a_position_is_the_share_of_the_way(measured: float, root: bool, position: float) -> None:
    """A squared distance of a quarter of the way is half of the way: (0.2 - 0.1) / 0.4 = (1/2)²."""
    scale = Scale(**ENDS, measured=Estimate(value=measured), root=root)
    assert scale.position == pytest.approx(position)
    assert Scale.model_validate_json(scale.model_dump_json()) == scale


@pytest.mark.parametrize("null", [0.5, 0.7])
def test_a_scale_has_two_ends(null: float) -> None:
    with pytest.raises(ValidationError, match="does not lie below its ceiling"):
        Scale(**{**ENDS, "null": null}, measured=Estimate(value=0.2))


def _report(scales: list[dict[str, Any]], position: float) -> dict[str, Any]:
    estimate = {"value": position, "low": position - 0.05, "high": position + 0.05}
    finding = {
        "id": "gap/x", "audit": "gap", "name": "x", "question": "how far", "unit": "position", "base": None,
        "adapted": estimate, "change": None, "margin": 0.2, "family": "gap", "adjustment": "none",
        "method": "cluster bootstrap", "n_items": 90, "n_clusters": 90, "items": "-",
        "decision": {"same": [position - 0.04, position + 0.04], "beyond": [position - 0.04, position + 0.04]},
    }  # fmt: skip
    return {
        "schema": 1, "tool": "-", "task": None, "findings": [finding], "scales": scales,
        "recipe": {"name": "-", "fingerprint": "-", "text": "-"},
        "base": {"id": "-", "revision": None, "kind": "encoder", "license": None, "files": {}},
        "adapted": {"id": "-", "method": "head", "trainable_parameters": 1, "seeds": [0], "files": {}},
        "provenance": {"created": "-", "command": "-", "seeds": [], "versions": {}, "hardware": {}, "data": []},
    }  # fmt: skip


def test_a_report_refuses_a_position_that_its_scale_denies(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    scale = {**ENDS, "measured": {"value": 0.3, "low": 0.2, "high": 0.4}}

    def load(scales: list[dict[str, Any]], position: float) -> str:
        path.write_text(json.dumps(_report(scales, position)))
        return str(load_report(path).findings[0].verdict)

    assert load([scale], 0.5) == "worse"
    with pytest.raises(InputError, match=r"'gap/x' says position 0.1, its scale 0.5"):
        load([scale], 0.1)
    with pytest.raises(InputError, match="has no scale"):
        load([], 0.5)
    with pytest.raises(InputError, match="stands in it twice"):
        load([scale, scale], 0.5)
    with pytest.raises(InputError, match="does not lie below its ceiling"):
        load([{**scale, "null": 0.6}], 0.5)
