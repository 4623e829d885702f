"""What the stages of one run share: recipe, base, data, the run folder, and models that are loaded when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from audit.adapt.control import group_silent
from audit.adapt.domain import domain_texts, refuse_headless
from audit.adapt.plan import Plan
from audit.errors import InputError
from audit.items.bbq import read_bbq
from audit.items.general import Packs, read_packs
from audit.items.packs import read_labelled, read_texts
from audit.items.pairs import read_pairs
from audit.items.reference import card_datasets, is_local, read_reference
from audit.items.swap import Axis, axis, template_pairs
from audit.items.task import TaskData, refuse_unread
from audit.models.ask import ModelView, Readout
from audit.models.load import Pair, load_base, load_pair
from audit.models.ranks import agreed
from audit.models.source import Source, cache_folder
from audit.models.tokens import load_tokenizer
from audit.models.weights import load_config, refuse_wrong_kind
from audit.probe import ProbedView
from audit.recipe import Gradient, MinimalPairs, Questions, Recipe
from audit.stages import Stages, code_hash
from audit.view import Item, Kind, View, fingerprint, remember

__all__ = ["Job", "Ticker", "axes_of", "silent"]

Ticker = Callable[[str, int, int], None]
"""Told the stage, how much of what it is doing is done, and how much there is."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass
class Job:
    """Everything that the stages of one run share; models are loaded when a stage first needs them.

    ``rehearsed`` are the general items that protections read; ``overlap`` counts what was both to be trained on and
    asked.
    """

    recipe: Recipe
    base: Source
    kind: Kind
    data: TaskData
    folder: Path
    adapted: Source | None = None
    tick: Ticker = silent
    seed: int | None = None
    general_items: Sequence[Item] | None = None
    rehearsed: Sequence[Item] = ()
    overlap: list[dict[str, Any]] = field(default_factory=list)
    stages: Stages = field(init=False)

    def check(self) -> None:
        """Refuse before anything is written what would fail later: base, tokenizer, general items."""
        refuse_wrong_kind(self.base, load_config(self.base), self.kind)
        if self.adapted is None:
            refuse_unread(self.data, self.kind)
        if self.kind != "vision":
            load_tokenizer(self.base)
        if self.recipe.domain is not None:
            refuse_headless(self.base, self.kind)
        gap = self.recipe.audit.gap
        if gap is not None and gap.reference == "base" and self.kind != "causal":
            raise InputError(
                f"[audit.gap] reference = 'base': a base of kind {self.kind!r} does not write; name a file, a Hub data "
                "set or 'shipped:passages'"
            )
        _ = self.fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that the results depend on, but the code."""
        parts = [self.recipe.fingerprint, self.base.sha256, self.data.fingerprint]
        parts += [self.adapted.sha256] if self.adapted is not None else []
        audits = self.recipe.audit
        parts += self._known if audits.gap else []
        parts += [self.packs.fingerprint] if audits.forgetting else []
        parts += [one.fingerprint for one in self.axes]
        parts += [fingerprint(self.domain_texts)] if self.recipe.domain else []
        parts += [fingerprint(self.rehearsal)]
        parts += [fingerprint(items) for _, items in [*self.minimal_pairs, *self.questions]]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def _known(self) -> list[str]:
        """What the reference of the gap is, without reaching for it: what lies here by content, all else by name."""
        assert self.recipe.audit.gap is not None
        named = self.recipe.audit.gap.reference
        if self.general_items is not None:  # which come before any name
            return [fingerprint(self.general_items)]
        if named is None:
            return ["reference", *self.card_datasets]
        return [fingerprint(read_reference(named))] if named != "base" and is_local(named) else ["reference", named]

    @property
    def card_datasets(self) -> list[str]:
        """Data sets that the base's card names; a folder's card may be anybody's."""
        return card_datasets(self.base.folder) if self.base.revision is not None else []

    @property
    def images(self) -> bool:
        """Whether the task is about images."""
        return self.data.train[0].image is not None

    @property
    def plan(self) -> Plan:
        """What the recipe's trainings share."""
        task, method = self.recipe.task, self.recipe.adapt
        assert method is not None
        return Plan(self.base, self.kind, task, method, self.rehearsed, remembered=self.remembered, code=code_hash())

    def checkpoints(self, seed: int) -> Path:
        """Return where the training of a seed keeps what it has done so far."""
        return self.folder / "checkpoints" / f"seed-{seed}"

    @cached_property
    def readout(self) -> Readout:
        """Label names and prompt of the task."""
        task = self.recipe.task
        return Readout(task.asked(self.kind), task.names, task.said)

    @cached_property
    def base_alone(self) -> View:
        """The base, before there is anything adapted."""
        return self._told(load_base(self.base, self.kind, self.prompted, self.recipe.audit.dtype))

    @cached_property
    def precise(self) -> View | None:
        """The base in float32, where both sides are asked in less; else None."""
        if self.recipe.audit.dtype == "float32":
            return None
        return self.remembered(self._told(load_base(self.base, self.kind, self.prompted)))

    @cached_property
    def pair(self) -> Pair:
        """Base and adapted, loaded together."""
        assert self.adapted is not None
        pair = self.beside(self.adapted)
        return Pair(self._told(pair.base), self._told(pair.adapted), pair.preflight)

    def beside(self, adapted: Source, base: Source | None = None) -> Pair:
        """Load the base (or what stands in its place) and a model made of it, as this run asks them."""
        return load_pair(base or self.base, adapted, self.kind, self.prompted, self.recipe.audit.dtype)

    @property
    def prompted(self) -> Readout | None:
        """The read-out of a base that answers through a prompt; None where classes have a head."""
        named = self.kind == "causal" or (self.kind == "clip" and self.images)
        return self.readout if named and self.recipe.task.type == "single_label" else None

    def _told(self, view: ModelView) -> ModelView:
        view.progress = self.tell
        return view

    def tell(self, done: int, total: int) -> None:
        """Pass on how far the current stage is."""
        self.tick(self.stages.current, done, total)

    @cached_property
    def classifiers(self) -> tuple[View, View]:
        """Both sides as classifiers with the recipe's labels: their own heads where they have them, else probes."""
        base, adapted = self.pair.base, self.pair.adapted
        if self._heads == (True, True):
            return base, adapted
        return self._probed(base), adapted if self._heads[1] else self._probed(adapted)

    @cached_property
    def precise_classifier(self) -> View | None:
        """The base in float32 as a classifier, where both sides are asked in less; else None."""
        if self.precise is None or self._heads == (True, True):
            return self.precise
        return self._probed(self.precise)

    def _probed(self, view: View) -> ProbedView:
        """Read the recipe's labels from features, by a probe fitted to group-silent training texts."""
        task = self.recipe.task
        labels = self.pair.adapted.labels if self._heads[1] else task.names
        silenced = group_silent(self.data.train, self.axes)[0]
        return ProbedView(self.remembered(view), silenced, labels, several=task.type == "multi_label")

    @property
    def _heads(self) -> tuple[bool, bool]:
        """Which sides have a head of their own for the task's labels; the base only if in the adapted one's order."""
        base, adapted = self.pair.base.labels, self.pair.adapted.labels
        known = set(adapted) == set(self.recipe.task.names)
        return known and base == adapted, known

    @property
    def read_out(self) -> str:
        """How the two sides were asked for a class, in words."""
        if self.recipe.adapt is not None and self.recipe.adapt.method == "prompt":
            return "Both sides are asked through the recipe's prompt, the base without examples and calibration."
        if self._heads == (True, True):
            how = "label likelihoods after the recipe's prompt" if self.prompted else "own classification heads"
            return f"Both sides are asked through their {how}."
        probe = "a probe (a logistic head on frozen features, fitted to " + (
            "training images)" if self.images else "training texts with the lexicons' words silenced)"
        )
        if self._heads[1]:
            return f"The base has no head of its own for these labels in this order: it is asked through {probe}."
        return f"Neither side has a head for these labels: both are asked through {probe}."

    @cached_property
    def axes(self) -> list[Axis]:
        """The swaps that the recipe declares."""
        return axes_of(self.recipe)

    @cached_property
    def packs(self) -> Packs:
        """The general items by which forgetting is found."""
        assert self.recipe.audit.forgetting is not None
        return read_packs(self.recipe.audit.forgetting, self.kind, self.general_items)

    @cached_property
    def domain_texts(self) -> list[Item]:
        """The unlabelled texts that the recipe pretrains on, as they are named."""
        assert self.recipe.domain is not None
        return domain_texts(self.recipe.domain, self.data.train)

    @cached_property
    def rehearsal(self) -> list[Item]:
        """The general items that the recipe's protections name, before any is dropped; none where none are read."""
        method = self.recipe.adapt
        if not isinstance(method, Gradient) or not method.protect.reads or self.adapted is not None:
            return []
        read = read_labelled if self.kind in ("vision", "clip") else read_texts
        return read(method.protect.items, None)

    @cached_property
    def minimal_pairs(self) -> list[tuple[MinimalPairs, list[Item]]]:
        """The sets of minimal pairs that the recipe declares, read."""
        asked = self.recipe.audit.bias
        return [(one, read_pairs(Path(one.file), one.form)) for one in asked.minimal_pairs] if asked else []

    @cached_property
    def questions(self) -> list[tuple[Questions, list[Item]]]:
        """The sets of questions that the recipe declares, read."""
        asked = self.recipe.audit.bias
        return [(one, read_bbq(Path(one.file))) for one in asked.questions] if asked else []

    def remembered(self, view: View) -> View:
        """Keep a view's answers, apart from other versions of this package: a base is asked once for all its runs."""
        return remember(view, cache_folder() / "answers" / code_hash()[:16], agreed)


def axes_of(recipe: Recipe) -> list[Axis]:
    """Read the swaps that a recipe declares.

    Raises
    ------
    InputError
        If a lexicon cannot be used, or has nothing that fills a template though templates are asked.
    """
    asked = recipe.audit.bias
    if asked is None:
        return []
    found = [axis(name) for name in asked.swaps]
    for one in found if "templates" in asked.items else []:
        template_pairs(one, 1)
    return found
