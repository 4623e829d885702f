"""The model of a run at another strength: what the report vouches for, between base and adapted."""

from __future__ import annotations

from pathlib import Path

from audit.adapt.soften import soften
from audit.errors import InputError
from audit.models.source import Source, file_hashes, resolve
from audit.report import Report, load_report
from audit.stages import locked

__all__ = ["soften_run"]


def soften_run(run: Path, alpha: float, out: Path | None = None) -> tuple[Path, Report]:
    """Write the adapted model of a run at a strength between its base (0) and itself (1).

    Parameters
    ----------
    run : Path
        Folder of a run.
    alpha : float
    out : Path, optional
        Default: beside the adapted model, ``models/seed-0-at-0.6``, say.

    Returns
    -------
    folder : Path
    report : Report
        Of the run.

    Raises
    ------
    InputError
        If base or adapted model are no longer the files that the report names, or there is nothing between them.
    """
    report = load_report(run)
    run = run if run.is_dir() else run.parent
    packed = [name for name in report.base.files if name.endswith(".gguf")]
    base = resolve(report.base.id, report.base.revision, packed[0] if packed else None)
    _refuse_other_files(base, report.base.files)
    inside = run / report.adapted.id
    trained = bool(report.adapted.seeds)  # here, and by this run: nowhere else
    if trained and not inside.is_dir():
        raise InputError(f"{inside}: the run's model is not there; soften needs the whole run folder")
    adapted = Source(str(inside), None, inside, file_hashes(inside), None) if trained else resolve(report.adapted.id)
    _refuse_other_files(adapted, report.adapted.files)
    named = inside.name if trained else "adapted"
    folder = out or run / "models" / f"{named}-at-{alpha:g}"
    with locked(run):
        return soften(base, adapted, alpha, folder), report


def _refuse_other_files(source: Source, files: dict[str, str]) -> None:
    for name in sorted(source.files.keys() | files.keys()):
        found, known = source.files.get(name), files.get(name)
        if found != known:
            what = "is gone" if found is None else "is new" if known is None else "is another one"
            raise InputError(
                f"{source.id}: the file {name} {what} since the report was written, which holds for the files "
                "that it names alone; run the recipe again"
            )
