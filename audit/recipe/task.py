"""What a recipe trains for: labelled texts or images, and how success is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from audit.recipe.table import Count, Table, unlike
from audit.view import Kind

__all__ = ["METRICS", "SLOTS", "Metric", "Task", "TaskType"]

TaskType = Literal["single_label", "multi_label", "regression", "tokens", "completion"]
Metric = Literal[
    "accuracy", "balanced_accuracy", "macro_f1", "matthews",
    "micro_f1", "exact_match",
    "mae", "mse", "spearman",
    "entity_f1", "token_accuracy",
    "nats_per_byte",
]  # fmt: skip
METRICS: dict[TaskType, tuple[Metric, ...]] = {
    "single_label": ("accuracy", "balanced_accuracy", "macro_f1", "matthews"),
    "multi_label": ("micro_f1", "macro_f1", "exact_match"),
    "regression": ("mae", "mse", "spearman"),
    "tokens": ("entity_f1", "token_accuracy"),
    "completion": ("nats_per_byte",),
}
"""What success can be measured by, the first by default; all but mae, mse and nats_per_byte are better when higher."""
PROMPTS: dict[Kind, str] = {
    "causal": "{text}\n\nThis message is a",
    "encoder": "{text} It was {mask}.",
    "sentence_encoder": "{label}",
    "clip": "a photo of a {label}.",
    "vision": "{label}",
}
SLOTS: dict[Kind, tuple[str, ...]] = {
    "causal": ("{text}",),
    "encoder": ("{text}", "{mask}"),
    "sentence_encoder": ("{label}",),
    "clip": ("{label}",),
    "vision": ("{label}",),
}
LABELLED: tuple[TaskType, ...] = ("single_label", "multi_label", "tokens")


class Task(Table):
    """Labelled texts or images: where they come from, which columns hold what, how success is measured.

    ``dataset`` is a Hub id, a local csv, tsv, json lines or parquet file, a folder of such files named after their
    split, a folder of images (``train/cat/1.png``), or ``shipped:NAME``. Splits come from the files, the Hub, or the
    column ``split``; a file without one is split by ``test_share``.

    ``type`` says what a label is: one of ``labels`` (integers index them), several of them (a list, or names separated
    by ``|``), a number, one of ``labels`` for every token (then ``text`` names a column of lists of tokens), or the
    text that completes a prompt. Images are read from the column ``image`` (paths, or the Hub's images).

    A base without a head for the labels is asked through ``prompt``, which holds ``{text}`` and, for a masked model,
    ``{mask}`` (a model that compares with the names of classes: ``{label}``); ``words`` is how each label is said, by
    default its name. ``overlap`` says what becomes of training rows that are also asked in a test or an audit.
    """

    type: TaskType = "single_label"
    dataset: Annotated[str, Field(min_length=1)]
    subset: str | None = None
    revision: str | None = None
    text: str = "text"
    image: str | None = None
    label: str = "label"
    cluster: str | None = None
    labels: Annotated[tuple[str, ...], Field(min_length=2, strict=False), AfterValidator(unlike)] | None = None
    split: str = "split"
    train_split: str = "train"
    test_split: str = "test"
    test_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    train_limit: Count | None = None
    test_limit: Count | None = None
    metric: Metric | None = None
    prompt: str | None = None
    words: dict[str, Annotated[str, Field(min_length=1)]] = Field(default={})
    overlap: Literal["drop", "refuse", "keep"] = "drop"

    @model_validator(mode="after")
    def _whole(self) -> Task:
        if self.type in LABELLED and self.labels is None:
            raise ValueError(f"the key 'labels' is missing; a task of type {self.type!r} names its classes in order")
        if self.type not in LABELLED and self.labels is not None:
            raise ValueError(f"labels: a task of type {self.type!r} has none; leave the key out")
        if self.metric is not None and self.metric not in METRICS[self.type]:
            raise ValueError(
                f"metric = {self.metric!r}: a task of type {self.type!r} is measured by {', '.join(METRICS[self.type])}"
            )
        strange = next((one for one in self.words if one not in self.names), None)
        if strange is not None:
            raise ValueError(f"words for {strange!r}, none of the labels {', '.join(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in order; none where a label is no class."""
        return self.labels or ()

    def asked(self, kind: Kind) -> str:
        """Return the prompt through which a base of a kind without a head is asked."""
        return self.prompt or PROMPTS[kind]

    @property
    def said(self) -> tuple[str, ...]:
        """How each label is said, in order; nothing where all are said by their names."""
        return tuple(self.words.get(name, name) for name in self.names) if self.words else ()

    @property
    def measure(self) -> Metric:
        """The metric: the one that is named, else the first of the task's type."""
        return self.metric or METRICS[self.type][0]

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of the metric is the better one."""
        return self.measure not in ("mae", "mse", "nats_per_byte")
