"""What a recipe may say: base, task, adaptation, audits with their margins, and publication."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from audit.errors import InputError
from audit.recipe.adapt import GRADIENT, Adapt, Domain
from audit.recipe.audits import Audits
from audit.recipe.fits import misfit
from audit.recipe.table import Name, Table, unlike
from audit.recipe.task import Task
from audit.view import Kind

__all__ = ["Publish", "Recipe", "runnable"]


class Publish(Table):
    """What may leave the machine, and under which terms.

    ``evidence`` is none, numbers under salted ids, or numbers with the texts. ``license`` is the one chosen for the
    adapted model (an identifier of the Hub), ``language`` lists what it reads (ISO 639 codes).
    """

    evidence: Literal["none", "values", "full"] = "values"
    license: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")] | None = None
    language: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...], Field(strict=False), AfterValidator(unlike)
    ] = ()


class Recipe(Table):
    """One run, declared before anything is asked.

    ``base`` is a Hub id, a local folder, or ``package:MODULE/PATH`` for weights that an installed package ships;
    ``gguf_file`` names a GGUF file in it. With ``[domain]``, the base is first pretrained on texts of the domain. A
    recipe for ``transfer-audit audit`` may leave out base, kind and adapt.
    """

    name: Name
    base: Annotated[str, Field(min_length=1)] | None = None
    revision: str | None = None
    gguf_file: str | None = None
    kind: Kind | None = None
    task: Task
    domain: Domain | None = None
    adapt: Adapt | None = None
    audit: Audits = Audits()
    publish: Publish = Publish()

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        wrong = misfit(self.kind, self.task, self.adapt, self.domain, self.audit)
        if wrong:
            raise ValueError(wrong)
        bias, forgetting = self.audit.bias, self.audit.forgetting
        if bias is not None and bias.label is not None and bias.label not in self.task.names:
            raise ValueError(f"[audit.bias] label = {bias.label!r} is none of the labels {', '.join(self.task.names)}")
        if forgetting is not None and forgetting.strengths and self.adapt and not isinstance(self.adapt, GRADIENT):
            raise ValueError(
                f"[audit.forgetting] strengths: {self.adapt.method!r} leaves the base as it is; nothing lies between"
            )
        if bias is not None and bias.origin and self.adapt is not None:
            wanted_seeds = 5 if self.adapt.method == "head" else 3
            if len(self.adapt.seeds) < wanted_seeds:
                raise ValueError(
                    f"[audit.bias] origin = true is a claim about the recipe: [adapt] seeds needs {wanted_seeds} for "
                    f"{self.adapt.method!r}, not {len(self.adapt.seeds)}"
                )
        return self

    @property
    def columns(self) -> dict[str, str | None]:
        """Sensitive columns of the task that its audits compare, each with its reference group."""
        groups = self.audit.bias.groups if self.audit.bias else None
        return {column: groups.reference.get(column) for column in groups.columns} if groups else {}

    @property
    def fingerprint(self) -> str:
        """Hash of everything the recipe says, defaults included."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def runnable(recipe: Recipe) -> tuple[str, Kind, Adapt]:
    """Return base, kind and adaptation of a recipe that is to be run.

    Raises
    ------
    InputError
        If one is left out, as a recipe for ``transfer-audit audit`` may.
    """
    if recipe.base is None or recipe.kind is None or recipe.adapt is None:
        missing = next(name for name in ("base", "kind", "adapt") if getattr(recipe, name) is None)
        raise InputError(f"{recipe.name}: a recipe that is run needs {missing!r}; this one is for transfer-audit audit")
    return recipe.base, recipe.kind, recipe.adapt
