"""The evidence that is published: the run's own tables, as far as the report's policy lets them leave."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import InputError
from audit.publish.bundle.redact import leaks
from audit.report import Report

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COLUMNS", "tables"]

COLUMNS = {
    "item_id": "which item",
    "cluster": "which document, template or writer it comes from: the unit of all intervals",
    "arm": "which model answered: base, adapted, or a control",
    "seed": "with which seed that model was trained",
    "question": "which finding of the report it belongs to",
    "value": "what the model scored; larger is worse, but for a task metric",
    "base": "what the base scored",
    "adapted": "what the adapted model scored",
    "change": "adapted less base",
    "outcome": "lost: only the base is right; gained: only the adapted model is",
    "text": "what was asked",
    "kind": "a word, or a document",
    "side": "of the task, or of the reference",
    "score": "how much it drives the gap",
    "n": "in how many documents it stands",
}
"""Every column of every table, and what it means."""
LISTED = {"bias": "moved.parquet", "forgetting": "flipped.parquet"}
"""Lists that are drawn from the evidence of a stage."""
WORDS = {"text"}
IDS = ("item_id", "cluster")
PLAIN = re.compile(r"[a-z_]+")
SALTED = re.compile(r"[0-9a-f]{16}")
STEPS = re.compile(r"(step|epoch) \d+(\.\d+)?")
"""Of ``training.parquet``, whose items are steps."""


def tables(run: Path, report: Report, clean: Callable[[str], str]) -> tuple[dict[str, bytes], dict[str, str]]:
    """Read the tables of a run.

    Parameters
    ----------
    run : Path
    report : Report
        Its own, as it lies there; ``provenance.evidence`` says what may leave.
    clean : callable
        Takes what is private out of a text, as it was taken out of the report.

    Returns
    -------
    files : dict of str to bytes
        Parquet by path; none where the policy is ``none``. A table in which there is nothing private is the run's own,
        byte for byte.
    rewritten : dict of str to str
        Of each file that is not the run's own, why.

    Raises
    ------
    InputError
        If a table that the report rests on is missing, holds texts or ids that the policy keeps private or a column
        that is not known, or cannot be read.
    """
    policy = report.provenance.evidence
    if policy == "none":
        return {}, {}
    for name in sorted(_rested_on(run, report, policy)):
        if not (run / name).is_file():
            raise InputError(f"{run}: {name} is missing, the report rests on it; run it again")
    names = [f"evidence/{path.name}" for path in sorted((run / "evidence").glob("*.parquet"))]
    names += [*LISTED.values(), *(["drivers.parquet"] if policy == "full" else [])]
    salt = run / "stages" / "salt"
    salted = _salted(clean, salt.read_text(encoding="utf-8") if salt.is_file() else "")
    files: dict[str, bytes] = {}
    rewritten: dict[str, str] = {}
    for name in names:
        path = run / name
        if not path.is_file():
            continue
        if not PLAIN.fullmatch(path.stem):
            raise InputError(f"{path}: a table that no run writes; take it out of the folder")
        raw = path.read_bytes()
        table = _read(path, raw)
        _refuse_texts(path, table, policy)
        cleaned = _cleaned(table, clean, salted)
        if leaks(raw) or not cleaned.equals(table):
            raw, rewritten[name] = _written(cleaned), "what is private was taken out of it"
        files[name] = raw
    return files, rewritten


def _rested_on(run: Path, report: Report, policy: str) -> set[str]:
    """Name the tables that a run must have: those of what its report says, and of what its stages left."""
    stages: set[str] = {one.audit for one in report.findings if one.audit in ("bias", "forgetting")}
    stages |= {one.family.rpartition("/")[2] for one in report.findings if one.audit == "transfer"}
    said = {"task": report.task, "gap": any(one.id == "gap/surprise" for one in report.findings),
            "origin": report.decompositions, "strength": report.curve}  # fmt: skip
    stages |= {name for name, found in said.items() if found}
    stages |= {path.parent.name for path in (run / "stages").glob("*/evidence.parquet")}
    if next(run.glob("models/*seed-*/curve.parquet"), None) is not None:
        stages.add("training")
    found = {f"evidence/{name}.parquet" for name in stages}
    found |= {name for stage, name in LISTED.items() if stage in stages}
    return found | (
        {"drivers.parquet"} if policy == "full" and (run / "stages/gap/drivers.parquet").is_file() else set()
    )


def _read(path: Path, raw: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(pa.BufferReader(raw))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__}); run the recipe again") from None


def _refuse_texts(path: Path, table: pa.Table, policy: str) -> None:
    """Refuse what the policy keeps private; trust neither the name of the table nor who wrote it."""
    odd = next((name for name in table.column_names if name not in COLUMNS), None)
    if odd is not None:
        raise InputError(f"{path}: a column {odd!r}, of which it is not known whether it may leave; run it again")
    if policy == "full":
        return
    if WORDS & set(table.column_names):
        raise InputError(f'{path}: it holds texts, and the report says evidence = "{policy}"; run the recipe again')
    for name in [one for one in IDS if one in table.column_names]:
        ids = [str(one) for one in table.column(name).unique().to_pylist()]
        if not all(SALTED.fullmatch(one) or (path.stem == "training" and STEPS.fullmatch(one)) for one in ids):
            raise InputError(f"{path}: its column {name!r} holds ids that are not salted; run the recipe again")


def _salted(clean: Callable[[str], str], salt: str) -> Callable[[str], str]:
    """Hash an id that tells something private, so that what differed still does; ``values`` hashes every id so."""

    def changed(value: str) -> str:
        private = clean(value) != value
        return hashlib.sha256(f"{salt}{value}".encode()).hexdigest()[:16] if private else value

    return changed


def _cleaned(table: pa.Table, clean: Callable[[str], str], salted: Callable[[str], str]) -> pa.Table:
    import pyarrow as pa

    for place, name in enumerate(table.column_names):
        column = table.column(name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            change = salted if name in IDS else clean
            told: dict[Any, Any] = {one: one and change(one) for one in column.unique().to_pylist()}
            if any(new != old for old, new in told.items()):
                table = table.set_column(place, name, pa.array([told[one] for one in column.to_pylist()], column.type))
    return table.replace_schema_metadata(None)


def _written(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
