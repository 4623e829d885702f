"""Transfer recomputed: the lift over every control, learning curves, multipliers, the price of a target."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from audit.audits.transfer import against_controls
from audit.finding import Finding
from audit.report import Report
from audit.savings import How
from audit.verify.evidence import Lacking, Table
from audit.verify.findings import TOLD
from audit.verify.found import Verification
from audit.verify.questions import items_of
from audit.verify.same import differences, numbers, plain

__all__ = ["check_transfer"]

Array = NDArray[np.float64]
STAGES: dict[How, str] = {"probe": "transfer", "fine_tuned": "fine_tuned"}


def check_transfer(found: Verification, report: Report, tables: dict[str, Table]) -> None:
    """Recompute all that was learnt by holding the base against controls."""
    for how, stage in STAGES.items():
        written = _written(report, how)
        if not written:
            continue
        try:
            if stage not in tables:
                raise Lacking("there is no evidence of it")
            _check(found, report, tables[stage], how)
        except Lacking as reason:
            found.leave(*(f"{one.id}: not recomputable: {reason}" for one in written))
        except ValueError as reason:
            found.differ([f"transfer ({how}): its evidence cannot be computed with: {reason}"])


def _written(report: Report, how: How) -> list[Finding]:
    mine = [one for one in report.findings if one.audit == "transfer"]
    return [one for one in mine if one.name.endswith("/fine_tuned") == (how == "fine_tuned")]


def _check(found: Verification, report: Report, table: Table, how: How) -> None:
    written = _written(report, how)
    sizes, arms, items = _curves(table, how)
    base = arms.pop("base")
    targets = [one.target for one in report.needed if one.how == how]
    again = against_controls(
        base, arms, items_of(*items), sizes, margin=written[0].margin, target=targets[0] if targets else None, how=how
    )
    pairs: list[tuple[str, Sequence[BaseModel], Sequence[BaseModel]]] = [
        ("", written, again.findings),
        ("curve of ", [one for one in report.curves if one.how == how], again.curves),
        ("saving over ", [one for one in report.savings if one.how == how], again.savings),
        ("texts needed by ", [one for one in report.needed if one.how == how], again.needed),
    ]
    for what, mine, theirs in pairs:
        if len(mine) != len(theirs):
            found.differ([f"{what}{how}: {len(mine)} in the report, the evidence gives {len(theirs)}"])
        for one, other in zip(mine, theirs, strict=False):
            said, given = _numbers(one), _numbers(other)
            found.differ(differences(f"{what}{_called(one)}", said, given), numbers=numbers(said))
    found.counts.update(findings=len(written))
    for one in written:
        _last(found, one.id, table, f"curve/{how}/{sizes[-1]}")


def _curves(table: Table, how: How) -> tuple[list[int], dict[str, Array], tuple[list[str], list[str]]]:
    """Errors by arm, shape (seeds, sizes, items); what the items and their clusters are called."""
    prefix = f"curve/{how}/"
    sizes = sorted(int(name.removeprefix(prefix)) for name in table.questions if name.startswith(prefix))
    if not sizes:
        raise Lacking(f"{table.name} does not hold the errors after smaller training sets")
    names = table.questions[f"{prefix}{sizes[0]}"]["arm"].unique().tolist()
    if "base" not in names:
        raise Lacking(f"{table.name} has no rows of the base")
    seeds = table.seeds(f"{prefix}{sizes[0]}", "base")
    rows = [[[table.asked(f"{prefix}{n}", arm, seed) for n in sizes] for seed in seeds] for arm in names]
    first = rows[0][0][0]
    lengths = {len(one) for arm in rows for seed in arm for one in seed}
    if len(lengths) > 1:
        raise Lacking(f"{table.name} has {min(lengths)} to {max(lengths)} items for the arms of its curves")
    arms = {
        name: np.array([[one["value"].to_numpy(dtype=np.float64) for one in seed] for seed in arm])
        for name, arm in zip(names, rows, strict=True)
    }
    return sizes, arms, (first["item_id"].tolist(), first["cluster"].tolist())


def _last(found: Verification, finding: str, table: Table, curve: str) -> None:
    """Hold the rows of a finding against those of the curve's end, which are the same."""
    rows = table.questions.get(finding)
    if rows is None:
        found.differ([f"{table.name}: {finding}: there are no rows of it"])
        return
    for seed, arm in product(table.seeds(finding, "base"), rows["arm"].unique().tolist()):
        mine, its = table.asked(finding, arm, seed), table.asked(curve, arm, seed)
        if mine["item_id"].tolist() != its["item_id"].tolist() or mine["value"].tolist() != its["value"].tolist():
            found.differ([f"{table.name}: {finding}: rows of {arm} (seed {seed}) are not those of {curve}"])


def _numbers(one: BaseModel) -> dict[str, Any]:
    return {name: value for name, value in plain(one).items() if name not in TOLD}


def _called(one: Any) -> str:
    if hasattr(one, "id"):
        return str(one.id)
    if hasattr(one, "control"):
        return f"{one.control} ({one.how}, {one.n} texts)"
    return f"{one.arm} ({one.how})"
