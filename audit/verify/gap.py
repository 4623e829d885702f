"""The gap recomputed, as far as scores of single texts carry it: the surprise, with the draws that the run made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audit.audits.gap.placed import DRAWS, Placed, findings_of
from audit.audits.gap.surprise import PERMUTATIONS
from audit.finding import Finding
from audit.report import Report
from audit.stats import cluster_weights, deal_clusters, permutation_p
from audit.verify.evidence import Lacking, Table
from audit.verify.findings import TOLD
from audit.verify.found import Verification
from audit.verify.same import differences, numbers, plain
from audit.view import NotMeasurable

__all__ = ["check_gap"]

Array = NDArray[np.float64]
NAME = "gap/surprise"
WORDS = 4  # of 32 bits, a seed
WHY = {
    "representation": "it rests on distances between embeddings, which the evidence does not hold",
    "separability": "it rests on a classifier of embeddings, which the evidence does not hold",
    "separability_length_matched": "it rests on a classifier of embeddings, which the evidence does not hold",
    "tokens": "it rests on counts of tokens, which are the texts themselves",
}
SCALES = "it rests on embeddings, labels or tokens, which the evidence does not hold"


def check_gap(found: Verification, report: Report, table: Table | None) -> None:
    """Recompute the surprise; hold every other position against its scale, and say why there is no more."""
    written = [one for one in report.findings if one.audit == "gap"]
    scales = {one.name: one for one in report.scales}
    for one in written:
        position = {"adapted": {"value": scales[one.name].position}}
        mine = {"adapted": {"value": one.adapted.value}}
        found.differ(differences(one.id, mine, position, f"its scale {one.name!r} gives"), held=1)
        if one.id != NAME:
            found.leave(f"{one.id}: not recomputable: {WHY.get(one.name, SCALES)}")
            continue
        try:
            if table is None:
                raise Lacking("there is no evidence of it")
            _check(found, report, one, _surprise(one, table), len(written))
        except (Lacking, NotMeasurable) as reason:
            found.leave(f"{one.id}: not recomputable: {reason}")
        except (ValueError, ZeroDivisionError) as reason:
            found.differ([f"{one.id}: its evidence cannot be computed with: {reason}"])
    for name in scales:
        if f"gap/{name}" not in {one.id for one in written}:
            found.leave(f"scale {name}: not recomputable: {SCALES}")


def _check(found: Verification, report: Report, one: Finding, placed: Placed, family: int) -> None:
    again = findings_of([placed] * family, [], margin=one.margin, alpha=0.05, note="")[0]
    mine, theirs = ({name: value for name, value in plain(side).items() if name not in TOLD} for side in (one, again))
    found.differ(differences(one.id, mine, theirs), findings=1, numbers=numbers(mine))
    scale = next(scale for scale in report.scales if scale.name == one.name)
    said, given = ({**plain(side), "note": "", "question": "", "unit": ""} for side in (scale, placed.scale))
    found.differ(differences(f"scale {one.name}", said, given), numbers=numbers(said))


def _surprise(one: Finding, table: Table) -> Placed:
    """Place the task as the run did: its bits and bytes, its clusters, its draws."""
    bits, sizes, codes = [], [], []
    for name in ("/reference", "", "/ceiling"):
        rows, lengths = table.asked(f"{NAME}{name}", "base"), table.asked(f"{NAME}{name}/bytes", "both")
        if rows["item_id"].tolist() != lengths["item_id"].tolist():
            raise ValueError(f"{table.name}: {NAME}{name} has other items than lengths")
        sizes.append(lengths["value"].to_numpy(dtype=np.float64))
        bits.append(rows["value"].to_numpy(dtype=np.float64) * sizes[-1])
        numbered: dict[str, int] = {}
        codes.append(np.array([numbered.setdefault(cluster, len(numbered)) for cluster in rows["cluster"]]))
    draws = [np.random.default_rng(seed) for seed in _seeds(table)]
    weights = [
        np.concatenate([np.ones((len(of), 1)), cluster_weights(of, DRAWS, rng)], axis=1)
        for of, rng in zip(codes, draws, strict=False)
    ]
    reference, task, unrelated = (b @ w / (size @ w) for b, size, w in zip(bits, sizes, weights, strict=True))
    documents = np.concatenate([codes[0], codes[1] + codes[0].max() + 1])
    dealt = deal_clusters(documents, len(codes[0]), PERMUTATIONS, draws[3])
    both, size = np.concatenate(bits[:2]), np.concatenate(sizes[:2])
    permuted = both @ (1 - dealt) / (size @ (1 - dealt)) - both @ dealt / (size @ dealt)
    measured = task - reference
    return Placed.read(
        one.name,
        "",
        "",
        measured,
        unrelated - reference,
        0.0,
        p=permutation_p(float(measured[0]), permuted),
        n_items=sum(map(len, codes)),
        n_clusters=min(int(of.max()) + 1 for of in codes),
    )


def _seeds(table: Table) -> list[int]:
    """Return the seeds of the draws: of three bootstraps, and of the permutations."""
    words = [int(word) for word in table.asked(f"{NAME}/seeds", "both")["value"]]
    if len(words) != 4 * WORDS:
        raise ValueError(f"{table.name}: {NAME}/seeds has {len(words)} rows, four seeds have {4 * WORDS}")
    return [sum(word << 32 * place for place, word in enumerate(words[k : k + WORDS])) for k in range(0, 16, WORDS)]
