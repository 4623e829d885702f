"""What must hold before a model is deployed: one TOML file that names verdicts, origins, licences and waivers."""

from __future__ import annotations

import hashlib
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, field_validator

from audit.errors import InputError
from audit.finding import Origin, Verdict
from audit.recipe import recipes_folder
from audit.recipe.table import Table, unlike
from audit.signoff import Waiver

__all__ = ["DEFAULT", "Policy", "Rule", "load_policy"]

DEFAULT = "policy_default"
Some = Annotated[tuple[str, ...], Field(strict=False), AfterValidator(unlike)]


class Rule(Table):
    """Which of the findings that it names pass; of several rules the last that names a finding decides.

    Attributes
    ----------
    finding : str
        Pattern over ids: ``bias/*``, ``forgetting/neighbours``.
    slices : bool
        It is about exploratory slices by group, which no rule means otherwise.
    verdicts : tuple of Verdict
        Those that pass.
    origins : tuple of Origin, optional
        Of a bias finding, those that pass beside the verdict; one that was not attributed has none, and does not pass.
        Without it any will do.
    waivable : bool
        Whether a waiver may let pass what does not.
    """

    finding: Annotated[str, Field(min_length=1)] = "*"
    slices: bool = False
    verdicts: Annotated[tuple[Verdict, ...], Field(strict=False), AfterValidator(unlike)]
    origins: Annotated[tuple[Origin, ...], Field(strict=False), AfterValidator(unlike)] | None = None
    waivable: bool = True

    @field_validator("verdicts", "origins", mode="before")
    @classmethod
    def _known(cls, given: object, info: object) -> object:
        choices: type[Verdict | Origin] = Verdict if getattr(info, "field_name", "") == "verdicts" else Origin
        if not isinstance(given, list | tuple):
            return given
        unknown = next((one for one in given if one not in list(choices)), None)
        if unknown is not None:
            raise ValueError(f"{unknown!r} is none of {', '.join(choices)}")
        return tuple(choices(one) for one in given)


class Policy(Table):
    """What must hold of a report.

    Attributes
    ----------
    name : str
    measured : tuple of str
        Audits of which something must have been measured.
    task : {"learnt", "any"}
        Whether the adapted model must do surely better than every constant answer: its 95 % interval lies beyond them.
    licenses : tuple of str, optional
        Those that base and adapted model may have; without it any will do, also none.
    diligence : tuple of str
        Outcomes of what was looked up about the base that do not pass. Where any is named, it must have been looked up.
    rule : tuple of Rule
        A finding that no rule names passes as ``same`` or ``better``.
    waiver : tuple of Waiver
    """

    name: Annotated[str, Field(min_length=1)]
    measured: Annotated[
        tuple[Literal["bias", "gap", "forgetting", "transfer"], ...], Field(strict=False), AfterValidator(unlike)
    ] = ()
    task: Literal["learnt", "any"] = "learnt"
    licenses: Some | None = None
    diligence: Annotated[
        tuple[Literal["warn", "fail", "unknown"], ...], Field(strict=False), AfterValidator(unlike)
    ] = ("fail",)
    rule: Annotated[tuple[Rule, ...], Field(strict=False)] = ()
    waiver: Annotated[tuple[Waiver, ...], Field(strict=False)] = ()

    @field_validator("waiver", mode="after")
    @classmethod
    def _once(cls, waivers: tuple[Waiver, ...]) -> tuple[Waiver, ...]:
        names = [one.finding for one in waivers]
        twice = next((one for one in names if names.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is waived twice")
        return waivers


def load_policy(path: Path | None = None) -> tuple[Policy, str]:
    """Read a policy, or the shipped default.

    Returns
    -------
    policy : Policy
    sha256 : str
        Of the file.

    Raises
    ------
    InputError
        One line that names file, table, key and what would do.

    Examples
    --------
    >>> load_policy()[0].measured
    ('bias', 'forgetting')
    """
    path = recipes_folder() / f"{DEFAULT}.toml" if path is None else path
    try:
        content = path.read_bytes()
        data = tomllib.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such policy file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as TOML ({error})") from None
    for number, one in enumerate(data.get("waiver", []) if isinstance(data.get("waiver"), list) else []):
        until = one.get("until") if isinstance(one, dict) else None
        if type(until) is not date:
            raise InputError(f"{path.name}: [[waiver]] {number + 1}: until = {until!r}: write a day, as 2027-01-31")
    try:
        return Policy.model_validate(data), hashlib.sha256(content).hexdigest()
    except ValidationError as error:
        raise InputError(f"{path.name}: {_said(error)}") from None


def _said(error: ValidationError) -> str:
    """Say the first error in one line: the table, its number, the key, what was found."""
    first = error.errors(include_url=False)[0]
    place = list(first["loc"])
    where = ""
    if len(place) > 1 and place[0] in ("rule", "waiver"):
        where, place = f"[[{place[0]}]] {int(place[1]) + 1}: ", place[2:]
    key = str(place[0]) if place else ""
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = Rule if where.startswith("[[rule") else Waiver if where else Policy
        return f"{where}no such key {key!r}; choose from {', '.join(model.model_fields)}"
    if first["type"] == "missing":
        return f"{where}the key {key!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    found = "" if first["type"] == "value_error" else f" = {first['input']!r}"
    return f"{where}{key}{found}: {message[:1].lower()}{message[1:]}"
