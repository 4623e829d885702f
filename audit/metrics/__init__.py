"""What success at a task is measured by: metrics of the library evaluate, from this package and not from the Hub.

``entity_f1().compute(predictions=..., references=...)``; each also gives the scores from which its interval comes.
"""

from audit.metrics.classes import accuracy, balanced_accuracy, exact_match, macro_f1, matthews, micro_f1
from audit.metrics.compared import Measured, measured, thin
from audit.metrics.metric import TaskMetric
from audit.metrics.numbers import mae, mse, spearman
from audit.metrics.tagged import entity_f1, token_accuracy
from audit.metrics.written import nats_per_byte

__all__ = [
    "METRICS",
    "Measured",
    "TaskMetric",
    "accuracy",
    "balanced_accuracy",
    "entity_f1",
    "exact_match",
    "macro_f1",
    "mae",
    "matthews",
    "measured",
    "micro_f1",
    "mse",
    "nats_per_byte",
    "spearman",
    "thin",
    "token_accuracy",
]

METRICS: dict[str, type[TaskMetric]] = {
    one.__name__: one
    for one in (
        *(accuracy, balanced_accuracy, macro_f1, matthews, micro_f1, exact_match),
        *(mae, mse, spearman, entity_f1, token_accuracy, nats_per_byte),
    )
}
"""By the name that a recipe gives."""
