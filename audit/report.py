"""The product of a run: all findings with their provenance, in one file that refuses what its numbers deny."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from audit.diligence import Check
from audit.errors import InputError
from audit.finding import Estimate, Finding, Origin
from audit.origin import Decomposition
from audit.retention import FeatureDrift, Flips, Strength, WeightDrift
from audit.savings import Curve, Needed, Saving
from audit.scale import Scale
from audit.signoff import SignOff
from audit.stages import write_atomically

__all__ = [
    "SCHEMA",
    "AdaptedModel",
    "Arm",
    "BaseModelRecord",
    "Provenance",
    "RecipeRecord",
    "Report",
    "Task",
    "load_report",
]

SCHEMA = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class RecipeRecord(_Frozen):
    """The recipe as it was run: the text of the file, and the hash of everything it says after overrides."""

    name: str
    fingerprint: str
    text: str


class BaseModelRecord(_Frozen):
    """What was adapted; ``files`` maps names to sha256."""

    id: str
    revision: str | None
    kind: str
    license: str | None
    files: dict[str, str]


class AdaptedModel(_Frozen):
    """What it was adapted to; ``id`` is where it lies (relative to the run), or how it was named to an audit.

    ``settings`` are those of the method that are not its defaults, and of pretraining on a domain; ``license`` and
    ``language`` are what the recipe declares of it.
    """

    id: str
    method: str
    trainable_parameters: int | None
    seeds: list[int]
    files: dict[str, str]
    settings: dict[str, Any] = {}
    license: str | None = None
    language: list[str] = []


class Task(_Frozen):
    """The task metric: the one quantity that is no harm.

    ``adapted`` is one checkpoint, that of the first seed. With three seeds or more ``over_seeds`` is what the recipe
    reaches: the mean over ``n_seeds`` checkpoints with Student's interval; then ``claim`` says so.
    """

    name: str
    metric: str
    better: Literal["higher", "lower"]
    base: Estimate | None
    adapted: Estimate
    change: Estimate | None
    claim: Literal["checkpoint", "recipe"] = "checkpoint"
    over_seeds: Estimate | None = None
    n_seeds: int = 1

    @model_validator(mode="after")
    def _claim_holds(self) -> Task:
        if (self.claim == "recipe") != (self.over_seeds is not None):
            raise ValueError("the task claims something of the recipe if, and only if, it is measured over seeds")
        if self.claim == "recipe" and self.n_seeds < 3:
            raise ValueError(f"the task claims something of the recipe by {self.n_seeds} seeds; it takes 3")
        if (self.base is None) != (self.change is None):
            raise ValueError("the task has a base and a change, or neither")
        return self


class Arm(_Frozen):
    """One trained variant, or a control; ``task`` is its task metric."""

    name: str
    seed: int | None
    sha256: str | None
    task: float | None


class Provenance(_Frozen):
    """How the report came about.

    ``data`` are the task's items, then all other sets that were trained on; ``overlap`` counts rows of each training
    set that are also asked; ``training`` is what the training of each seed left to be said. ``evidence`` is the policy
    by which it was written, ``unpinned`` names what the recipe names on the Hub without a commit.
    """

    created: str
    command: str
    seeds: list[int]
    versions: dict[str, str]
    hardware: dict[str, Any]
    data: list[dict[str, Any]]
    overlap: list[dict[str, Any]] = []
    training: list[dict[str, Any]] = []
    evidence: Literal["none", "values", "full"] = "values"
    unpinned: list[str] = []


class Report(_Frozen):
    """All findings of one adapted model against its own base.

    ``preflight`` lists settings in which both sides differ, ``floor`` what null copies of the base show, ``arms`` all
    trained variants and controls. ``decompositions`` (of a disparity by origin), ``curve`` (retention by strength) and
    ``diligence`` (about the base) are empty where they were not measured; ``limits`` says what a reader must know.
    ``broken`` are ids of the declared findings that there would be if the adapted model answered as its base does.
    ``flips`` are the items lost and gained of a finding of forgetting; ``weights`` and ``features`` say layer by layer
    how far the adapted model moved.
    ``scales`` are what the positions of the gap were read from, and measures that carry no verdict; ``curves``,
    ``savings`` and ``needed`` say what the base saves in training data. ``sign_off`` is what a policy said of it.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    tool: str
    recipe: RecipeRecord
    base: BaseModelRecord
    adapted: AdaptedModel
    task: Task | None
    arms: list[Arm] = []
    preflight: list[dict[str, str]] = []
    floor: list[dict[str, Any]] = []
    findings: list[Finding] = []
    decompositions: list[Decomposition] = []
    scales: list[Scale] = []
    curves: list[Curve] = []
    savings: list[Saving] = []
    needed: list[Needed] = []
    broken: list[str] = []
    flips: list[Flips] = []
    weights: list[WeightDrift] = []
    features: list[FeatureDrift] = []
    curve: list[Strength] = []
    diligence: list[Check] = []
    provenance: Provenance
    limits: list[str] = []
    sign_off: SignOff | None = None

    @model_validator(mode="after")
    def _origins_agree(self) -> Report:
        """Refuse an id that stands twice, and an origin that no decomposition carries, or another than it does."""
        ids = [finding.id for finding in self.findings]
        twice = next((one for one in ids if ids.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"the finding {twice!r} stands in it twice")
        carried = {one.finding: one for one in self.decompositions}
        for finding in self.findings:
            one = carried.pop(finding.id, None)
            if finding.origin != (one.origin if one else None):
                raise ValueError(
                    f"finding {finding.id!r} is called {_or_nothing(finding.origin)}, its decomposition says "
                    f"{_or_nothing(one.origin if one else None)}"
                )
            if one is not None and one.margin != finding.margin:
                raise ValueError(f"finding {finding.id!r} and its decomposition have different margins")
        if carried:
            raise ValueError(f"a decomposition of {next(iter(carried))!r}, which is no finding of this report")
        return self

    @model_validator(mode="after")
    def _positions_agree(self) -> Report:
        """Refuse a position of the gap that its scale denies, or that has none."""
        scales = {scale.name: scale for scale in self.scales}
        if len(scales) < len(self.scales):
            raise ValueError("a scale stands in it twice")
        for finding in self.findings:
            if finding.audit != "gap":
                continue
            scale = scales.get(finding.name)
            if scale is None:
                raise ValueError(f"finding {finding.id!r} has no scale that its position could be read from")
            if abs(scale.position - finding.adapted.value) > 1e-6 * max(1.0, abs(scale.position)):
                raise ValueError(
                    f"finding {finding.id!r} says position {finding.adapted.value:.6g}, its scale {scale.position:.6g}"
                )
        return self

    @model_validator(mode="after")
    def _flips_agree(self) -> Report:
        """Refuse flips that their finding denies."""
        found = {finding.id: finding for finding in self.findings}
        for one in self.flips:
            finding = found.get(one.finding)
            if finding is None or finding.change is None or finding.n_items != one.n:
                raise ValueError(f"flips of {one.finding!r}, which is no finding of {one.n} items of this report")
            moved = (one.lost - one.gained) / one.n
            if finding.n_clusters == one.n and abs(finding.change.value - moved) > 1e-9:
                raise ValueError(f"finding {finding.id!r} changed by {finding.change.value:g}, its flips say {moved:g}")
        return self

    @model_validator(mode="after")
    def _broken_agree(self) -> Report:
        """Refuse a probe that is called broken and was measured."""
        measured = next((one.id for one in self.findings if one.id in self.broken), None)
        if measured is not None:
            raise ValueError(f"the finding {measured!r} is called broken, but it was measured")
        return self

    @model_validator(mode="after")
    def _sign_off_agrees(self) -> Report:
        """Refuse a sign-off of other verdicts, or of an origin that is another."""
        found = {one.id: one for one in self.findings}
        for one in self.sign_off.rulings if self.sign_off else []:
            finding = found.get(one.subject)
            if finding is None:
                continue
            says = str(finding.verdict) + (f", {finding.origin}" if finding.origin else "")
            if one.found != says:
                raise ValueError(f"the sign-off has {one.subject!r} as {one.found!r}, the finding says {says!r}")
        return self

    def save(self, path: Path) -> None:
        """Write the report; the file appears whole or not at all."""
        write_atomically(path, self.model_dump_json(by_alias=True, indent=1).encode() + b"\n")


def _or_nothing(origin: Origin | None) -> str:
    return "nothing" if origin is None else str(origin)


def load_report(path: Path) -> Report:
    """Read a report.

    Parameters
    ----------
    path : Path
        The file, or the folder of a run.

    Raises
    ------
    InputError
        If there is none, its schema is not known, or a verdict is denied by its numbers; names the finding.
    """
    path = path / "report.json" if path.is_dir() else path
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such report") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a report: {error}") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        remedy = "; a newer transfer-audit wrote it" if newer else ""
        raise InputError(f"{path}: schema {schema!r} is not known here, only {SCHEMA}{remedy}")
    try:
        report = Report.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "report"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: {place}: {message}") from None
    return report
