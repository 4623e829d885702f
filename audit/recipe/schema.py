"""What a recipe may say: base, task, adaptation, audits with their margins, and publication."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from audit.errors import InputError
from audit.items.swap import AXES

__all__ = [
    "METHODS",
    "Adapt",
    "Audits",
    "Bias",
    "Forgetting",
    "Full",
    "Gap",
    "Groups",
    "Head",
    "Lora",
    "MinimalPairs",
    "Publish",
    "Questions",
    "Recipe",
    "Task",
    "Transfer",
    "runnable",
]


def _unlike(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("something is named twice")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Margin = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1, strict=False), AfterValidator(_unlike)
]
Names = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Task(_Table):
    """Labelled texts: where they come from, which columns hold what, how success is measured.

    ``dataset`` is a Hub id, a local csv, tsv, json lines or parquet file, a folder of such files named after their
    split, or ``shipped:NAME``. ``labels`` names the classes in order; integer labels index it. Splits come from the
    files, the Hub, or the column ``split``; a file without one is split by ``test_share``.
    """

    dataset: Annotated[str, Field(min_length=1)]
    subset: str | None = None
    revision: str | None = None
    text: str = "text"
    label: str = "label"
    cluster: str | None = None
    labels: Annotated[tuple[str, ...], Field(min_length=2, strict=False), AfterValidator(_unlike)]
    split: str = "split"
    train_split: str = "train"
    test_split: str = "test"
    test_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    train_limit: Count | None = None
    test_limit: Count | None = None
    metric: Literal["accuracy"] = "accuracy"
    prompt: str = "{text}\n\nThis message is a"

    @field_validator("prompt")
    @classmethod
    def _has_text(cls, prompt: str) -> str:
        if prompt.count("{text}") != 1:
            raise ValueError("a prompt holds {text} exactly once")
        return prompt


class Head(_Table):
    """A logistic head on the features of the frozen base; more ``regularisation`` is smaller weights."""

    method: Literal["head"]
    regularisation: Positive = 1.0
    max_length: Count = 128
    seeds: Seeds = (0,)


class _Trained(_Table):
    epochs: Count = 3
    batch_size: Count = 16
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Count = 128
    seeds: Seeds = (0,)


class Full(_Trained):
    """Every weight trained."""

    method: Literal["full"]
    learning_rate: Positive = 2e-5


class Lora(_Trained):
    """Low-rank adapters beside frozen weights; ``targets`` is "all-linear" or the names of modules."""

    method: Literal["lora"]
    learning_rate: Positive = 2e-4
    rank: Count = 8
    alpha: Count = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: Literal["all-linear"] | Names = "all-linear"


Adapt = Annotated[Head | Full | Lora, Field(discriminator="method")]
METHODS: dict[str, type[BaseModel]] = {"head": Head, "full": Full, "lora": Lora}


class BiasMargins(_Table):
    """Smallest changes worth acting on: of a probability, and of the share of flipped pairs."""

    probability: Share
    flips: Share


class Groups(_Table):
    """Sensitive columns of the test rows: how far the rates of their groups lie apart.

    ``reference`` names the group that the others of a column are contrasted with, else each is contrasted with the
    rest; up to ``depth`` columns are crossed. ``lexicon`` names the swap whose words speak of a column's groups: only
    with it the origin of a disparity between them can be told.
    """

    columns: Annotated[Names, AfterValidator(_unlike)]
    margin: Share
    reference: dict[str, str] = {}
    lexicon: dict[str, str] = {}
    depth: Annotated[int, Field(ge=1, le=3)] = 1
    measures: Annotated[
        tuple[Literal["selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "calibration"], ...],
        Field(min_length=1, strict=False),
        AfterValidator(_unlike),
    ] = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "calibration")

    @model_validator(mode="after")
    def _known(self) -> Groups:
        for key, table in (("reference", self.reference), ("lexicon", self.lexicon)):
            for column in table:
                if column not in self.columns:
                    raise ValueError(f"{key} for {column!r}, none of the columns {', '.join(self.columns)}")
        return self


class PairMargins(_Table):
    """Smallest changes worth acting on: of the preference in nats, and of the share of pairs."""

    nats: Margin
    share: Share


class MinimalPairs(_Table):
    """Pairs of sentences of which one is a stereotype: a published file or a csv, and how a model scores a sentence."""

    file: Annotated[str, Field(min_length=1)]
    form: Literal["crows_pairs", "winogender", "winobias", "csv"]
    scorer: Literal["log_likelihood", "pll-unchanged", "ll-changed"]
    margins: PairMargins


class Questions(_Table):
    """Questions of the Bias Benchmark for QA (a published jsonl file)."""

    file: Annotated[str, Field(min_length=1)]
    margin: Share


class Bias(_Table):
    """What is asked about bias; a part that is absent is not asked.

    ``items`` are texts in which the person is swapped (by shipped lexicons, or one of your own: a path that ends with
    .toml); ``label`` is the answer that is followed. ``origin`` trains control arms with every seed of the recipe.
    """

    label: str | None = None
    margins: BiasMargins | None = None
    items: Annotated[tuple[Literal["task", "templates"], ...], Field(strict=False), AfterValidator(_unlike)] = (
        "task",
        "templates",
    )
    swaps: Annotated[Names, AfterValidator(_unlike)] = ("gender", "name_origin")
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


class Gap(_Table):
    """Where the task's texts lie between a reference (0) and unrelated text (1); up to ``margin`` they count as one.

    ``reference`` is the text that the base is assumed to know: a file (items, txt, csv, tsv), a Hub data set, ``base``
    (text that a causal base writes) or ``shipped:passages``; where it is left out, the first of these that there is:
    the data set that the base's card names, what the base writes, the shipped passages.
    """

    margin: Margin
    reference: Annotated[str, Field(min_length=1)] | None = None
    limit: Count = 600


class Transfer(_Table):
    """Whether the base helps at all: the same head on controls that know nothing, over growing shares of the data.

    ``margin`` is of the error rate. ``sizes`` are numbers of training texts (default: doublings up to all of them);
    ``target`` is an error rate whose price in training texts is wanted; ``fine_tune`` draws the curves of the recipe's
    own adaptation too, one training a control, size and seed.
    """

    margin: Share
    controls: Annotated[
        tuple[Literal["random_init", "shuffled_weights"], ...],
        Field(min_length=1, strict=False),
        AfterValidator(_unlike),
    ] = ("random_init", "shuffled_weights")
    seeds: Annotated[int, Field(ge=3)] = 5
    sizes: Annotated[tuple[Count, ...], Field(min_length=2, strict=False), AfterValidator(_unlike)] | None = None
    target: Share | None = None
    fine_tune: bool = False


class ForgettingMargins(_Table):
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


class Forgetting(_Table):
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
    labelled: Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_unlike)] = (
        "shipped:question_kinds",
        "shipped:tenses",
    )
    similarity: str = "shipped:similarity"
    prompts: dict[str, str] = {}
    limit: Count | None = None
    strengths: Annotated[tuple[Share, ...], Field(strict=False), AfterValidator(_unlike)] = ()
    floor: bool = True


class Audits(_Table):
    """What is audited; a table that is absent is reported as not measured.

    ``dtype`` is the precision in which both sides are asked. In less than float32, what the same audit finds between
    the base in that precision and in float32 is the floor under which no change is a finding.
    """

    dtype: Literal["float32", "bfloat16"] = "float32"
    bias: Bias | None = None
    gap: Gap | None = None
    transfer: Transfer | None = None
    forgetting: Forgetting | None = None


class Publish(_Table):
    """What may leave the machine: no evidence, numbers under salted ids, or numbers with the texts."""

    evidence: Literal["none", "values", "full"] = "values"


class Recipe(_Table):
    """One run, declared before anything is asked.

    ``base`` is a Hub id, a local folder, or ``package:MODULE/PATH`` for weights that an installed package ships;
    ``gguf_file`` names a GGUF file in it. A recipe for ``transfer-audit audit`` may leave out base, kind and adapt.
    """

    name: Name
    base: Annotated[str, Field(min_length=1)] | None = None
    revision: str | None = None
    gguf_file: str | None = None
    kind: Literal["encoder", "causal"] | None = None
    task: Task
    adapt: Adapt | None = None
    audit: Audits = Audits()
    publish: Publish = Publish()

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        bias, forgetting = self.audit.bias, self.audit.forgetting
        if bias is not None and bias.label is not None and bias.label not in self.task.labels:
            raise ValueError(f"[audit.bias] label = {bias.label!r} is none of the labels {', '.join(self.task.labels)}")
        if forgetting is not None and forgetting.strengths and self.adapt is not None and self.adapt.method == "head":
            raise ValueError("[audit.forgetting] strengths: a head leaves the base as it is; there is nothing between")
        if bias is not None and bias.origin and self.adapt is not None:
            wanted_seeds = 5 if self.adapt.method == "head" else 3
            if len(self.adapt.seeds) < wanted_seeds:
                raise ValueError(
                    f"[audit.bias] origin = true is a claim about the recipe: [adapt] seeds needs {wanted_seeds} for "
                    f"{self.adapt.method!r}, not {len(self.adapt.seeds)}"
                )
        if self.kind == "causal" and self.adapt is not None and self.adapt.method != "lora":
            raise ValueError(f"[adapt] method = {self.adapt.method!r}: a causal base is adapted by 'lora'")
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


def runnable(recipe: Recipe) -> tuple[str, Literal["encoder", "causal"], Head | Full | Lora]:
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
