"""What a recipe audits, with the smallest changes worth acting on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from audit.items.swap import AXES
from audit.recipe.table import Count, Margin, Names, Share, Table, unlike

__all__ = [
    "Audits",
    "Bias",
    "Forgetting",
    "ForgettingMargins",
    "Gap",
    "Groups",
    "MinimalPairs",
    "Questions",
    "Transfer",
]


class BiasMargins(Table):
    """Smallest changes worth acting on: of a probability, and of the share of flipped pairs."""

    probability: Share
    flips: Share


class Groups(Table):
    """Sensitive columns of the test rows: how far the rates of their groups lie apart.

    ``reference`` names the group that the others of a column are contrasted with, else each is contrasted with the
    rest; up to ``depth`` columns are crossed. ``lexicon`` names the swap whose words speak of a column's groups: only
    with it the origin of a disparity between them can be told.
    """

    columns: Annotated[Names, AfterValidator(unlike)]
    margin: Share
    reference: dict[str, str] = Field(default={})
    lexicon: dict[str, str] = Field(default={})
    depth: Annotated[int, Field(ge=1, le=3)] = 1
    measures: Annotated[
        tuple[Literal["selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "calibration"], ...],
        Field(min_length=1, strict=False),
        AfterValidator(unlike),
    ] = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "calibration")

    @model_validator(mode="after")
    def _known(self) -> Groups:
        for key, table in (("reference", self.reference), ("lexicon", self.lexicon)):
            for column in table:
                if column not in self.columns:
                    raise ValueError(f"{key} for {column!r}, none of the columns {', '.join(self.columns)}")
        return self


class PairMargins(Table):
    """Smallest changes worth acting on: of the preference in nats, and of the share of pairs."""

    nats: Margin
    share: Share


class MinimalPairs(Table):
    """Pairs of sentences of which one is a stereotype: a published file or a csv, and how a model scores a sentence."""

    file: Annotated[str, Field(min_length=1)]
    form: Literal["crows_pairs", "winogender", "winobias", "csv"]
    scorer: Literal["log_likelihood", "pll-unchanged", "ll-changed"]
    margins: PairMargins


class Questions(Table):
    """Questions of the Bias Benchmark for QA (a published jsonl file)."""

    file: Annotated[str, Field(min_length=1)]
    margin: Share


class Bias(Table):
    """What is asked about bias; a part that is absent is not asked.

    ``items`` are texts in which the person is swapped (by shipped lexicons, or one of your own: a path that ends with
    .toml); ``label`` is the answer that is followed. ``origin`` trains control arms with every seed of the recipe.
    """

    label: str | None = None
    margins: BiasMargins | None = None
    items: Annotated[tuple[Literal["task", "templates"], ...], Field(strict=False), AfterValidator(unlike)] = (
        "task",
        "templates",
    )
    swaps: Annotated[Names, AfterValidator(unlike)] = ("gender", "name_origin")
    pairs: Count = 12
    origin: bool = False
    groups: Groups | None = None
    minimal_pairs: Annotated[tuple[MinimalPairs, ...], Field(strict=False)] = ()
    questions: Annotated[tuple[Questions, ...], Field(strict=False)] = ()

    @field_validator("swaps")
    @classmethod
    def _known(cls, swaps: tuple[str, ...]) -> tuple[str, ...]:
        for one in swaps:
            if one not in AXES and not one.endswith(".toml"):
                raise ValueError(
                    f"no such swap {one!r}; choose from {', '.join(AXES)}, or name a lexicon of your own (.toml)"
                )
        return swaps

    @model_validator(mode="after")
    def _whole(self) -> Bias:
        if self.items and self.margins is None:
            raise ValueError("the key 'margins' is missing; swaps need it (items = [] asks for none)")
        if (self.items or self.groups) and self.label is None:
            raise ValueError("the key 'label' is missing; it names the answer that is followed")
        lexicons = self.groups.lexicon if self.groups else {}
        for column, lexicon in lexicons.items():
            if lexicon not in self.swaps:
                raise ValueError(f"lexicon for {column!r} is {lexicon!r}, none of swaps = {', '.join(self.swaps)}")
        if self.origin and not (self.items or lexicons):
            raise ValueError(
                "origin = true, but no items are swapped, and no [audit.bias.groups] lexicon says which swap speaks of "
                "a column"
            )
        for what, files in (
            ("swaps", [one for one in self.swaps if one.endswith(".toml")]),
            (
                "minimal_pairs or questions",
                [*(one.file for one in self.minimal_pairs), *(one.file for one in self.questions)],
            ),
        ):
            names = [Path(file).stem for file in files]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"two {what} are called {twice!r} (a file's name without its ending)")
        return self


class Gap(Table):
    """Where the task's texts lie between a reference (0) and unrelated text (1); up to ``margin`` they count as one.

    ``reference`` is the text that the base is assumed to know: a file (items, txt, csv, tsv), a Hub data set, ``base``
    (text that a causal base writes) or ``shipped:passages``; where it is left out, the first of these that there is:
    the data set that the base's card names, what the base writes, the shipped passages.
    """

    margin: Margin
    reference: Annotated[str, Field(min_length=1)] | None = None
    limit: Count = 600


class Transfer(Table):
    """Whether the base helps at all: the same head on controls that know nothing, over growing shares of the data.

    ``margin`` is of the error rate. ``sizes`` are numbers of training texts (default: doublings up to all of them);
    ``target`` is an error rate whose price in training texts is wanted; ``fine_tune`` draws the curves of the recipe's
    own adaptation too, one training a control, size and seed.
    """

    margin: Share
    controls: Annotated[
        tuple[Literal["random_init", "shuffled_weights"], ...],
        Field(min_length=1, strict=False),
        AfterValidator(unlike),
    ] = ("random_init", "shuffled_weights")
    seeds: Annotated[int, Field(ge=3)] = 5
    sizes: Annotated[tuple[Count, ...], Field(min_length=2, strict=False), AfterValidator(unlike)] | None = None
    target: Share | None = None
    fine_tune: bool = False


class ForgettingMargins(Table):
    """Smallest changes worth acting on, by probe; each has a default that is usually worth acting on.

    ``nats_per_byte``
        Of general text, under a language-model head.
    ``next_token``, ``choices``, ``probe``, ``retrieval``, ``zero_shot``
        Of an error rate (fraction).
    ``divergence``
        Of the next token's distribution from the base's, in nats.
    ``end_of_turn``
        Of the probability that an answer does not end where it is finished.
    ``neighbours``
        Of the share of nearest neighbours that are lost.
    ``similarity``
        Of the rank correlation with graded similarity.
    """

    nats_per_byte: Margin = 0.02
    next_token: Share = 0.02
    divergence: Margin = 0.1
    end_of_turn: Share = 0.1
    choices: Share = 0.05
    probe: Share = 0.05
    neighbours: Share = 0.2
    similarity: Share = 0.05
    retrieval: Share = 0.05
    zero_shot: Share = 0.05


class Forgetting(Table):
    """What the base could do, asked of both sides; every set of items is shipped, a file, or a Hub data set.

    ``items`` are general texts (or, for a model of images, labelled images), ``choices`` multiple choice, ``turns``
    chat turns, ``labelled`` tasks that no adaptation is trained for, ``similarity`` graded pairs; an empty name asks
    none. ``prompts`` name the classes of images for a model of images and texts. At most ``limit`` items of a set are
    asked. ``strengths`` between 0 and 1 draw the curve from base to adapted. ``floor = false`` asks no null copies.
    """

    margins: ForgettingMargins = ForgettingMargins()
    items: str = "shipped:passages"
    choices: str = "shipped:choices"
    turns: str = "shipped:turns"
    labelled: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(unlike)] = (
        "shipped:question_kinds",
        "shipped:tenses",
    )
    similarity: str = "shipped:similarity"
    prompts: dict[str, str] = Field(default={})
    limit: Count | None = None
    strengths: Annotated[tuple[Share, ...], Field(strict=False), AfterValidator(unlike)] = ()
    floor: bool = True


class Audits(Table):
    """What is audited; a table that is absent is reported as not measured.

    ``dtype`` is the precision in which both sides are asked. In less than float32, what the same audit finds between
    the base in that precision and in float32 is the floor under which no change is a finding.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    bias: Bias | None = None
    gap: Gap | None = None
    transfer: Transfer | None = None
    forgetting: Forgetting | None = None
