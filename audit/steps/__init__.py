"""The stages of a run: each asks, writes its findings and evidence into its own folder, and knows no other stage."""

from audit.steps.arms import ARMS_TRAINED, arm, attributable, origin, unattributed
from audit.steps.bias import bias
from audit.steps.diligence import diligence
from audit.steps.domain import pretraining
from audit.steps.forgetting import forgetting
from audit.steps.gap import gap
from audit.steps.overlap import set_apart
from audit.steps.strength import strength, strength_point
from audit.steps.task import adaptation, task
from audit.steps.transfer import Cell, fine_tuned, fine_tuned_cell, fine_tuned_cells, transfer

__all__ = [
    "ARMS_TRAINED",
    "Cell",
    "adaptation",
    "arm",
    "attributable",
    "bias",
    "diligence",
    "fine_tuned",
    "fine_tuned_cell",
    "fine_tuned_cells",
    "forgetting",
    "gap",
    "origin",
    "pretraining",
    "set_apart",
    "strength",
    "strength_point",
    "task",
    "transfer",
    "unattributed",
]
