"""Asked in bfloat16, both sides are, and what precision alone changes is no finding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit import relay
from audit.items import passages
from audit.models.load import load_base, load_pair
from audit.models.source import resolve
from audit.recipe import parse_recipe
from tests import families, tiny

TEXTS = list(passages()[::48])


def test_both_sides_are_asked_in_one_precision(tiny_causal: Path) -> None:
    source = resolve(str(tiny_causal))
    pair = load_pair(source, source, "causal", dtype="bfloat16")
    precise = load_base(source, "causal")
    low, high = pair.base.ask("log_likelihood", TEXTS), precise.ask("log_likelihood", TEXTS)
    assert np.array_equal(low, pair.adapted.ask("log_likelihood", TEXTS))
    assert 0 < np.abs(low - high).max() < 0.01 * np.abs(high).max()  # it is another precision, and the same model
    assert pair.base.id != precise.id  # so that neither is remembered as the other


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_what_precision_changes_is_the_floor(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    base: Path = request.getfixturevalue(f"tiny_{kind}")
    table: dict[str, Any] = tiny.recipe(base)
    table["audit"]["dtype"] = "bfloat16"
    recipe = parse_recipe(table, "tiny.toml")
    report, _ = relay.audit_model(recipe, "# tiny", str(base), str(base), tmp_path / "run")
    floors = {str(row["finding"]): float(row["floor"]) for row in report.floor}
    assert all("the base in float32" in str(row["copies"]) for row in report.floor)
    forgotten = [one for one in report.findings if one.audit == "forgetting" and one.group is None]
    assert forgotten
    for one in forgotten:
        assert one.floor == floors[one.id]
        assert one.change is not None
        assert one.change.value == 0.0
    if kind == "causal":
        assert 0 < floors["forgetting/general_text"] < 0.01
        # no choice flipped: the floor is what the copy shows, which is nothing, not what 60 questions could not exclude
        assert floors["forgetting/multiple_choice"] == 0.0


def test_a_change_as_small_as_rounding_is_not_a_finding(tmp_path: Path) -> None:
    """Weights that differ by less than bfloat16 can hold: in that precision, nothing may be called worse."""
    import torch
    from transformers import AutoModelForCausalLM

    base = families.CAUSAL["llama"](tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(0)
    for tensor in model.parameters():
        tensor.data.mul_(1 + 1e-3 * torch.randn_like(tensor))
    model.save_pretrained(tmp_path / "adapted")
    audits = {"dtype": "bfloat16", "forgetting": {"margins": {"nats_per_byte": 1e-7}, "limit": 60, "floor": False}}
    table: dict[str, Any] = {"name": "tiny", "task": tiny.recipe(base)["task"], "audit": audits}
    recipe = parse_recipe(table, "tiny.toml")
    report, _ = relay.audit_model(recipe, "# tiny", str(base), str(tmp_path / "adapted"), tmp_path / "run")
    found = next(one for one in report.findings if one.id == "forgetting/general_text")
    assert found.verdict == "unclear"
    assert found.floor is not None
    assert found.floor > 1e-7
