"""How a recipe adapts its base: the methods, what protects the base meanwhile, and pretraining on the domain before."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from audit.recipe.table import Count, Length, NotNegative, Positive, Rate, Seeds, Table

__all__ = [
    "GRADIENT",
    "METHODS",
    "Adapt",
    "Domain",
    "Full",
    "Gradient",
    "Head",
    "LpFt",
    "Partial",
    "Peft",
    "Prompt",
    "Protect",
    "Unfreeze",
]


class Protect(Table):
    """What keeps the adapted model near its base while it is trained; all of it is anchored at the base.

    ``items`` are general texts (or images) that no audit of the recipe asks; of them ``limit`` are used.

    ``l2sp``
        Strength of half the squared distance of the weights from the base's (Li et al., ICML 2018). It stands in place
        of weight decay, which the weights it holds have none of. Under Adam, whose steps are about as long however
        steep the loss, a strength beyond about 1e3 changes nothing more.
    ``ewc``
        The same, each weight weighed by its Fisher information on the items (Kirkpatrick et al., PNAS 2017), of mean 1.
        Neither holds anything under ``peft``, which leaves the base's weights as they are.
    ``kl``
        Strength of the divergence of what it says on the items from what the base says, at ``temperature``: of tokens,
        of a base without a language-model head of its classes, else of which other item is nearest.
    ``replay``
        Share of every batch that is items, learnt as the base once learnt such; of a base without a language-model
        head, their vectors are kept where they were.
    ``wise``
        Strength between base (0) and trained model (1) that is kept in the end (Wortsman et al., CVPR 2022).
    ``stop``
        Training stops before the items have lost more than this: nats a byte under a causal base, else the share of
        their nearest neighbours.
    """

    items: str = "shipped:rehearsal"
    limit: Count = 128
    l2sp: NotNegative = 0.0
    ewc: NotNegative = 0.0
    kl: NotNegative = 0.0
    temperature: Positive = 1.0
    replay: Rate = 0.0
    wise: Annotated[float, Field(gt=0, le=1)] = 1.0
    stop: Positive | None = None

    @property
    def reads(self) -> bool:
        """Whether any of it reads the items."""
        return bool(self.ewc or self.kl or self.replay or self.stop)


class Prompt(Table):
    """No weight is trained: the base is asked through the task's prompt, after ``shots`` examples.

    ``calibrate`` takes away what the base would answer to a text that says nothing (Zhao et al., ICML 2021). A seed
    draws the examples.
    """

    method: Literal["prompt"]
    shots: Annotated[int, Field(ge=0)] = 0
    calibrate: bool = True
    max_length: Length = 1024
    seeds: Seeds = (0,)


class Head(Table):
    """A logistic (or ridge) head on remembered features of the frozen base; more ``regularisation``, smaller weights.

    ``hidden`` are widths of hidden layers between features and classes: a small network in place of a linear head,
    whose loss is summed over the items, so that the same ``regularisation`` weighs less the more there are.
    """

    method: Literal["head"]
    regularisation: Positive = 1.0
    hidden: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    max_length: Length = 128
    seeds: Seeds = (0,)


class _Trained(Table):
    epochs: Count = 3
    batch_size: Count = 16
    weight_decay: NotNegative = 0.01
    warmup: Rate = 0.1
    max_length: Length = 128
    seeds: Seeds = (0,)
    protect: Protect = Protect()


class Full(_Trained):
    """Every weight trained."""

    method: Literal["full"]
    learning_rate: Positive = 2e-5


class LpFt(_Trained):
    """First a logistic head on the frozen base, then every weight (Kumar et al., ICLR 2022)."""

    method: Literal["lp_ft"]
    learning_rate: Positive = 2e-5
    regularisation: Positive = 1.0


class Partial(_Trained):
    """The head and the top ``layers`` trained, all below frozen."""

    method: Literal["partial"]
    learning_rate: Positive = 5e-5
    layers: Count = 2


class Unfreeze(_Trained):
    """From the top down: the head first, then one more group of layers every epoch (Howard & Ruder, ACL 2018).

    The layers form ``groups`` (by default so many that the last epoch trains all); each group learns at the rate of the
    one above it divided by ``decay``.
    """

    method: Literal["unfreeze"]
    learning_rate: Positive = 1e-4
    decay: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.6
    groups: Count | None = None

    @model_validator(mode="after")
    def _thaws(self) -> Unfreeze:
        if self.epochs < 2:
            raise ValueError(f"epochs = {self.epochs}: the first trains the head alone; 'unfreeze' needs 2 or more")
        return self


class Peft(_Trained):
    """Small trained parts beside frozen weights: any tuner of the installed PEFT, by its own name and settings."""

    method: Literal["peft"]
    learning_rate: Positive = 2e-4
    tuner: str = "LORA"
    config: dict[str, Any] = Field(default={})


class Domain(Table):
    """Pretraining on unlabelled texts of the domain, before the adaptation (Gururangan et al., ACL 2020).

    ``texts`` is a file, a Hub data set, or ``task`` for the training texts themselves. A masked model guesses
    ``mask_share`` of the tokens, a causal one the next token.
    """

    texts: Annotated[str, Field(min_length=1)] = "task"
    column: str = "text"
    limit: Count | None = None
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    epochs: Count = 1
    batch_size: Count = 16
    learning_rate: Positive = 5e-5
    weight_decay: NotNegative = 0.01
    warmup: Rate = 0.1
    max_length: Length = 128


Gradient = Full | LpFt | Partial | Unfreeze | Peft
GRADIENT = (Full, LpFt, Partial, Unfreeze, Peft)
Adapt = Annotated[Prompt | Head | Full | LpFt | Partial | Unfreeze | Peft, Field(discriminator="method")]
METHODS: dict[str, type[BaseModel]] = {
    "prompt": Prompt,
    "head": Head,
    "full": Full,
    "lp_ft": LpFt,
    "partial": Partial,
    "unfreeze": Unfreeze,
    "peft": Peft,
}
