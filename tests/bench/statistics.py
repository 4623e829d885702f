"""The paired bootstrap against fairlearn's own."""

from __future__ import annotations

import numpy as np
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

from audit.stats import cluster_weights, group_rates
from tests.bench.processes import seconds
from tests.bench.table import Row, faster, middle

__all__ = ["rows"]

ROUNDS = 5


def rows() -> list[Row]:
    """2,000 draws of accuracy in 9 groups of 1,000 items, against fairlearn's own bootstrap (20 draws a round)."""
    rng = np.random.default_rng(0)
    groups, truth = rng.integers(0, 9, 1000), rng.integers(0, 2, 1000)
    answer = np.where(rng.random(1000) < 0.8, truth, 1 - truth)
    names = [str(i) for i in range(1000)]

    def ours() -> object:
        return group_rates(answer == truth, groups, cluster_weights(names, 2000, np.random.default_rng(1), groups))

    def theirs() -> object:
        frame = MetricFrame(
            metrics=accuracy_score,
            y_true=truth,
            y_pred=answer,
            sensitive_features=groups,
            n_boot=20,
            ci_quantiles=[0.025, 0.975],
            random_state=1,
        )
        return frame.by_group_ci

    ours(), theirs()
    rounds = [(seconds(ours) / 2000, seconds(theirs) / 20) for _ in range(ROUNDS)]
    return [
        faster(
            "bootstrap by group (n = 1,000, 9 groups), per draw",
            rounds,
            f"{2000 * middle(rounds, 0):.3f} s for 2,000 draws",
            f"`MetricFrame(n_boot=20)`: {20 * middle(rounds, 1):.3f} s",
        )
    ]
