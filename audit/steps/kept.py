"""What a stage keeps beside scores, so that its findings can be recomputed from the evidence alone: numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from audit.audits import Question
from audit.steps.written import Evidence
from audit.view import Item

__all__ = ["BOTH", "CLUSTERS", "MEMBERS", "OPTIONS", "keep_members", "keep_numbers", "keep_options", "keep_order"]

BOTH = "both"  # the arm of what is alike on both sides
CLUSTERS = "clusters"  # a row a cluster: its place in the order of names, which published ones no longer have
MEMBERS = "members/"  # before the id of a finding: its items; 1 of the group that is contrasted, 0 of the others
OPTIONS = "options/"  # before the id of a finding: how many options each item has


def keep_members(evidence: Evidence, one: Question) -> None:
    """Keep which items a finding is about, and of a contrast which group each is of."""
    first = one.by.keywords.get("first") if isinstance(one.by, partial) else None
    keep = np.ones(len(one.items)) if first is None else np.asarray(first, dtype=np.float64)
    evidence.keep_arm(BOTH, f"{MEMBERS}{one.id}", one.items, keep)


def keep_options(evidence: Evidence, one: Question) -> None:
    """Keep how many options the items of a finding have, where they have any."""
    counts = [len(item.options or ()) for item in one.items]
    if any(counts):
        evidence.keep_arm(BOTH, f"{OPTIONS}{one.id}", one.items, np.array(counts, dtype=np.float64))


def keep_order(evidence: Evidence) -> None:
    """Keep the order of all clusters by name: sums are taken in it, and draws of a family depend on their last bits."""
    names = sorted({name for table in evidence.tables for name in table["cluster"]})
    keep_numbers(evidence, CLUSTERS, names, np.arange(len(names)))


def keep_numbers(evidence: Evidence, question: str, names: Sequence[str], values: ArrayLike) -> None:
    """Keep one number for each of some names that are no items."""
    items = [Item(id=name, cluster=name, text=name) for name in names]
    if items:
        evidence.keep_arm(BOTH, question, items, np.asarray(values, dtype=np.float64))
