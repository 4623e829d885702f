"""Reports by hand, for what is rendered from one: small, valid, and of any kind."""

from __future__ import annotations

from typing import Any

from audit.finding import Decision, Estimate, Finding
from audit.report import AdaptedModel, Arm, BaseModelRecord, Provenance, RecipeRecord, Report, Task

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "ab" * 32
RECIPE = """
name = "reviews"
base = "owner/base"
[task]
dataset = "owner/reviews"
labels = ["bad", "good"]
test_split = "validation"
"""


def estimate(value: float, around: float = 0.01) -> Estimate:
    return Estimate(value=value, low=value - around, high=value + around)


def finding(name: str = "gender/preference", audit: Any = "bias", change: float = 0.1, **fields: Any) -> Finding:
    """Return a finding with an interval of ±.01 around its change, of 40 clusters."""
    bounds = (change - 0.009, change + 0.009)
    made: dict[str, Any] = {
        "id": f"{audit}/{name}",
        "audit": audit,
        "name": name,
        "question": "how much worse",
        "unit": "probability",
        "base": estimate(0.2),
        "adapted": estimate(0.2 + change),
        "change": estimate(change),
        "margin": 0.02,
        "family": audit,
        "adjustment": "none",
        "method": "student-t over cluster means",
        "decision": Decision(same=bounds, beyond=bounds),
        "n_items": 80,
        "n_clusters": 40,
        "items": DIGEST,
    }
    return Finding(**{**made, **fields})


def report(**fields: Any) -> Report:
    """Return the report of a classifier of texts that a recipe made and published as ``owner/adapted``."""
    made: dict[str, Any] = {
        "tool": "transfer-audit 0",
        "recipe": RecipeRecord(name="reviews", fingerprint=DIGEST, text=RECIPE),
        "base": BaseModelRecord(
            id="owner/base", revision=COMMIT, kind="encoder", license="apache-2.0", files={"config.json": DIGEST}
        ),
        "adapted": AdaptedModel(
            id="owner/adapted",
            method="full",
            trainable_parameters=1234,
            seeds=[0],
            files={"config.json": DIGEST, "model.safetensors": DIGEST},
        ),
        "task": Task(
            name="owner/reviews",
            metric="accuracy",
            better="higher",
            base=estimate(0.6),
            adapted=estimate(0.8),
            change=estimate(0.2),
        ),
        "arms": [Arm(name="majority_class", seed=None, sha256=None, task=0.5)],
        "findings": [finding()],
        "provenance": Provenance(
            created="2026-01-02T03:04:05+00:00",
            command="transfer-audit run reviews.toml",
            seeds=[0],
            versions={"python": "3.11"},
            hardware={"machine": "x86_64", "system": "linux", "cpus": 2, "accelerator": None},
            data=[
                {"name": "owner/reviews", "train": 60, "test": 40, "fingerprint": DIGEST, "trained": DIGEST,
                 "id": "owner/reviews", "revision": COMMIT, "license": "mit"}
            ],
            training=[{"seed": 0, "trainable_parameters": 1234}],
        ),
        "limits": ["Findings are about one checkpoint (seed 0)."],
    }  # fmt: skip
    return Report(**{**made, **fields})


def adapted(**fields: Any) -> Report:
    """Return the report with other facts of the adapted model."""
    plain = report()
    return report(adapted=plain.adapted.model_copy(update=fields))


def base(**fields: Any) -> Report:
    """Return the report with other facts of the base."""
    plain = report()
    return report(base=plain.base.model_copy(update=fields))
