"""What the evidence of a run carries, recomputed; what cannot be is named, and what is taken on trust."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.errors import InputError
from audit.report import Report, load_report
from audit.verify.carded import OURS, check_card
from audit.verify.complete import check_adapted, check_complete
from audit.verify.declared import check_recipe, declared
from audit.verify.decomposed import check_origins
from audit.verify.evidence import Table, read_tables
from audit.verify.findings import check_families, check_floor, highest
from audit.verify.flips import check_flips, check_lists
from audit.verify.found import Verification
from audit.verify.gap import check_gap
from audit.verify.hashes import check_base, check_manifest, check_weights
from audit.verify.place import Place
from audit.verify.recorded import KEYS, check_published, check_records
from audit.verify.same import differences, numbers, plain
from audit.verify.since import check_since
from audit.verify.strength import check_curve
from audit.verify.task import check_task
from audit.verify.transfer import check_transfer

__all__ = ["unlike_read", "verified"]

TRUSTED = (
    "taken on trust: diligence, limits, preflight, notes and questions of findings, base.license, trainable "
    "parameters, overlap, data and their sizes, notes of training, hardware, versions, when and by what it was made"
)
MALFORMED = (KeyError, IndexError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
LAYERS = "not recomputable: it rests on weights and features of both models, which the evidence does not hold"


def verified(run: Path) -> Verification:
    """Recompute what the evidence of a run, or of a copy of what was published of it, carries.

    That report, evidence, card and files fit together is all that this shows, not that these models gave these answers:
    whoever can write the repository can change all of it. To know, run the recipe again.

    Parameters
    ----------
    run : Path
        A run folder, a folder as the data set or the model repository has it, or what `audit.verify.pulled` returns.

    Returns
    -------
    Verification

    Raises
    ------
    InputError
        If there is no report at all. One that cannot be read is a disagreement.
    """
    place, found = Place.of(run), Verification()
    check_manifest(found, place)
    try:
        report = load_report(place.report)
    except (InputError, *MALFORMED) as reason:
        said = str(reason) if isinstance(reason, InputError) else f"not a report: {type(reason).__name__}"
        found.differ([_named(said, place.report)])
        found.leave("everything else: the report cannot be read")
        return found
    try:
        _verify(found, report, place)
    except MALFORMED as reason:
        found.differ([f"report.json: what it says cannot be computed with ({type(reason).__name__}: {reason})"])
        found.leave("everything after that: the report cannot be computed with")
    return found


def _verify(found: Verification, report: Report, place: Place) -> None:
    """Hold a report that can be read against all that is here."""
    said = plain(report)
    if report.tool != OURS:
        found.leave(f"report: {report.tool} wrote it, this is {OURS}: what they compute otherwise differs, too")
    found.differ(unlike_read(json.loads(place.report.read_text(encoding="utf-8")), said))
    found.counts["in the report"] = numbers(said)
    tables, wrong = read_tables(place.evidence)
    found.differ(wrong)
    if report.provenance.evidence == "none":
        found.leave("evidence: the recipe publishes none: nothing can be recomputed from it")
    recipe, _ = declared(report)
    check_adapted(found, report, recipe)
    check_complete(found, report, recipe, tables)
    _recompute(found, report, tables)
    check_lists(found, place.folder, report.flips, [one for one in report.findings if one.audit == "bias"], tables)
    if place.stages is not None:
        check_records(found, report, place.stages)
        check_published(found, place.evidence, place.stages, report.provenance.evidence)
    _check_card(found, report, place)
    check_weights(found, report, place)
    check_base(found, report, place)
    check_since(found, report, place)
    if report.sign_off is not None:
        found.leave("sign-off: not checked: the policy is not here")
    found.leave(TRUSTED)


def unlike_read(written: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    """Name what a file says otherwise than what follows from it: what is derived is not read here, but elsewhere."""
    lines: list[str] = []
    for key in [*written, *(key for key in said if key not in written)]:
        one, other = written.get(key), said.get(key)
        if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            for place, (row, its) in enumerate(zip(one, other, strict=True)):
                names = [str(row[name]) for name in KEYS.get(key, ()) if isinstance(row, dict) and name in row]
                lines += differences(f"report.json: {key} {', '.join(names) or place}", row, its, "it follows")
        else:
            lines += differences(f"report.json: {key}", one, other, "it follows")
    return lines


def _recompute(found: Verification, report: Report, tables: dict[str, Table]) -> None:
    """Recompute all that the evidence carries."""
    recipe, why = declared(report)
    check_recipe(found, report, recipe, why)
    floor = highest(report.floor)
    for audit in ("bias", "forgetting"):
        written = [one for one in report.findings if one.audit == audit]
        check_families(found, written, tables.get(audit), floor)
    check_floor(found, report.findings, floor)
    check_gap(found, report, tables.get("gap"))
    check_flips(found, report.flips, tables.get("forgetting"))
    check_transfer(found, report, tables)
    check_task(found, report, tables.get("task"), recipe)
    check_origins(found, report, tables)
    check_curve(found, report, tables, floor, recipe)
    if report.weights or report.features:
        found.leave(f"how far weights and features moved: {LAYERS}")


def _check_card(found: Verification, report: Report, place: Place) -> None:
    """Hold a card against the report: every number, verdict and key."""
    if place.card is None or not place.card.is_file():
        found.leave("card: not checked: there is none here")
        return
    check_card(found, report, place.card.name, place.card.read_bytes().decode("utf-8", errors="replace"))


def _named(reason: str, path: Path) -> str:
    """Say which finding an error is about, where it counts them."""
    counted = re.search(r"(findings|decompositions)\.(\d+)", reason)
    line = f"report.json: {reason.removeprefix(f'{path}: ')}"
    if counted is None:
        return line
    try:
        one = json.loads(path.read_text(encoding="utf-8"))[counted[1]][int(counted[2])]
        return f"{line} ({one.get('id') or one.get('finding')})"
    except (OSError, ValueError, KeyError, IndexError, AttributeError):
        return line
