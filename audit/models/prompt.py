"""A prompt in a file of its own: what stands around a text, the examples before it, and the prior of the labels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np

from audit.errors import InputError
from audit.models.ask import Readout
from audit.models.headed import has_backbone, is_head
from audit.models.source import Source
from audit.models.weights import read_json
from audit.view import Kind

__all__ = ["TaskPrompt", "is_prompt", "read_prompt", "weightless", "write_prompt"]

VERSION = 1
SAID = "prompt.json"
BETWEEN = "\n\n"  # examples, and the last of them and what is asked


@dataclass(frozen=True)
class TaskPrompt:
    """How a base is asked for a label by what it says itself.

    Attributes
    ----------
    kind : str
        Of the base.
    prompt : str
        Holds ``{text}`` (a masked model's ``{mask}``, too), or ``{label}``.
    labels, words : tuple of str
        The labels, and how each is said; no words where all are said by their names.
    examples : tuple of (text, label)
        What comes before the text that is asked, in order.
    prior : tuple of float
        Log-probability of each label where the text says nothing; empty where nothing is taken away.
    max_length : int
        Tokens that the whole prompt takes at most.
    base, revision, base_sha256
        What it was made for.
    """

    kind: Kind
    prompt: str
    labels: tuple[str, ...]
    words: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    prior: tuple[float, ...]
    max_length: int
    base: str
    revision: str | None
    base_sha256: str

    @property
    def digest(self) -> str:
        """Hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def readout(self) -> Readout:
        """Prompt, labels and words."""
        return Readout(self.prompt, self.labels, self.words)

    @property
    def bare(self) -> TaskPrompt:
        """The same question without examples and calibration: how the base is asked."""
        return replace(self, examples=(), prior=())

    def filled(self, text: str, mask: str = "") -> str:
        """Return what a model reads: the examples, each under its label, and the prompt around a text.

        Examples
        --------
        >>> asked = TaskPrompt("causal", "Review: {text} It is", ("bad", "good"), (), (("Nice.", "good"),), (), 99,
        ...                    "base", None, "")
        >>> print(asked.filled("Dull."))
        Review: Nice. It is good
        <BLANKLINE>
        Review: Dull. It is

        A masked model reads a label in place of its mask:

        >>> print(replace(asked, kind="encoder", prompt="{text} It is {mask}.").filled("Dull.", "[MASK]"))
        Nice. It is good.
        <BLANKLINE>
        Dull. It is [MASK].
        """
        before = [self.example(*one) for one in self.examples]
        return BETWEEN.join([*before, self._around(text, mask)])

    def example(self, text: str, label: str) -> str:
        """Return the prompt around a text whose label is said."""
        if self.kind == "causal":
            return self._around(text, "") + self.readout.completion(label)
        return self._around(text, self.readout.said(label))

    def _around(self, text: str, word: str) -> str:
        return self.prompt.replace("{mask}", word).replace("{text}", text)


def write_prompt(folder: Path, prompt: TaskPrompt) -> None:
    """Write a prompt beside whatever lies in a folder: ``prompt.json``."""
    said = json.dumps({"version": VERSION, **asdict(prompt)}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / SAID).write_text(said, encoding="utf-8")


def is_prompt(source: Source) -> bool:
    """Tell whether a folder holds a prompt."""
    return (source.folder / SAID).is_file()


def weightless(source: Source) -> bool:
    """Tell whether all that was made of a base lies beside its weights: a head or a prompt, and no checkpoint."""
    return (is_head(source) or is_prompt(source)) and not has_backbone(source)


def read_prompt(source: Source) -> TaskPrompt:
    """Read a prompt.

    Raises
    ------
    InputError
        If its file is not what `write_prompt` writes.
    """
    path = source.folder / SAID
    said = read_json(path)
    version = said.pop("version", None) if isinstance(said, dict) else None
    if version != VERSION:
        raise InputError(f"{path}: a prompt of version {version!r}; this is transfer-audit's version {VERSION}")
    try:
        said |= {name: tuple(said[name]) for name in ("labels", "words", "prior")}
        said["examples"] = examples = tuple((str(text), str(label)) for text, label in said["examples"])
        prompt = TaskPrompt(**said)
        numbers = np.array(prompt.prior, dtype=np.float64)
        sound = len(numbers) in (0, len(prompt.labels)) and np.isfinite(numbers).all() and prompt.kind in get_args(Kind)
        sound = sound and len(prompt.labels) > 1 and {label for _, label in examples} <= set(prompt.labels)
        sound = sound and bool(prompt.readout.id) and prompt.max_length > 0
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: the prompt cannot be read ({type(error).__name__}: {error})") from None
    if not sound:
        raise InputError(f"{path}: its kind, labels, examples and prior do not fit together")
    return prompt
