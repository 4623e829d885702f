"""A text model as a view: which question is answered how."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from difflib import SequenceMatcher
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from audit.errors import InputError
from audit.items.reference import numbered
from audit.models.along import KEPT, LastRead, Read, filled, read_along, sketches_after
from audit.models.ask import ModelView, Readout, softmax
from audit.models.embed import Pool, class_logits, layer_means, pooled, token_means
from audit.models.network import Network, Words, minds_padding, stretches
from audit.models.outputs import shares
from audit.models.pieces import broken_tokens
from audit.models.sample import write_texts
from audit.models.score import (
    Scored,
    hidden_log_likelihoods,
    log_likelihoods,
    masked_log_likelihoods,
    windowed,
    windows,
)
from audit.models.tagging import first_pieces, tag_probabilities
from audit.models.tokens import context, continuation, pad_token, tokenizer_hash
from audit.models.turns import ended_turns
from audit.models.weights import class_names
from audit.view import Item, Kind, NotMeasurable, answer_texts

__all__ = ["DoesNotFit", "TextView"]

Array = NDArray[np.float64]
T = TypeVar("T")
MASKED = 0.15  # of a text's tokens at once, as in the training of BERT


class DoesNotFit(NotMeasurable):
    """Some items cannot be read; the others can. ``ids`` are theirs."""

    def __init__(self, question: str, reason: str, ids: frozenset[str] = frozenset()) -> None:
        super().__init__(question, reason)
        self.ids = ids


class TextView(ModelView):
    """A text model as a view: an encoder, a sentence encoder, or a causal model.

    Parameters
    ----------
    network : Network
    tokenizer
    id : str
        Hash of the weights.
    kind : {"encoder", "sentence_encoder", "causal"}
    labels : sequence of str
        Of the classification head, where the network has one.
    readout : Readout, optional
        How a causal model without a classification head is asked for a class.
    pool : callable
        From hidden states to a text's embedding.
    longest : int, optional
        Tokens that are read, where the repository says less than the model can.
    reserved : int
        Places of the context that a learnt prompt takes.
    switched : callable, optional
        See `ModelView`.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: PreTrainedTokenizerBase,
        *,
        id: str,
        kind: Kind,
        labels: Sequence[str] = (),
        readout: Readout | None = None,
        pool: Pool = token_means,
        longest: int | None = None,
        reserved: int = 0,
        switched: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._network, self.tokenizer, self._pool = network, tokenizer, pool
        self._readout = readout if kind == "causal" and network.classes is None else None
        model = network.backbone if network.words is None else network.words.model
        self._pad = pad_token(model, tokenizer)
        if network.classes is not None:
            self._pad = pad_token(network.classes, tokenizer)
        if network.tags is not None:
            self._pad, labels = pad_token(network.tags, tokenizer), labels or class_names(network.tags.config)
        self.context = min(context(model, tokenizer), longest or 10**9) - reserved
        self._alike: bool | None = None  # whether only texts of one length may share a batch, once that is known
        self._broken: frozenset[int] | None = None  # tokens that stand for no whole character, once that is asked
        self._last = LastRead()
        self._longest = 0  # tokens of a text among those that are asked, on whatever rank
        parts = [id, tokenizer_hash(tokenizer)[:16], f"{model.dtype}".removeprefix("torch."), str(self.context)]
        if self._readout is not None:
            labels = self._readout.labels
            parts.append(self._readout.id)
            self._refuse_labels_that_begin_another([self._readout.said(label) for label in labels])
        super().__init__(id="/".join(parts), kind=kind, labels=labels, switched=switched)

    def _refuse_labels_that_begin_another(self, labels: Sequence[str]) -> None:
        """Refuse labels that, as they are said, begin another: the longer one could never be likelier."""
        ids = {label: continuation(self.tokenizer, f" {label}") for label in labels}
        for short, long in itertools.permutations(labels, 2):
            if ids[long][: len(ids[short])] == ids[short]:
                raise InputError(
                    f"the label {short!r} begins the label {long!r}, which could then never be the likelier"
                )

    def ask(self, question: str, items: Sequence[Item]) -> Array:
        """Answer one question about each item, in item order (see `audit.view.View`)."""
        if question == "token_ids":  # the tokenizer alone answers: every rank all of it, as wide as the longest text
            return _filled(self._running(question, items))
        if question == "unknown_tokens":
            self._broken = broken_tokens(self.tokenizer) if self._broken is None else self._broken
            counts = [sum(token in self._broken for token in ids) for ids in self._running(question, items)]
            return np.array(counts, dtype=np.float64)
        if question == "tag_probabilities":
            self._longest = max((len((item.text or "").split(" ")) for item in items), default=0)
        if question == "next_tokens":
            self._longest = max(map(len, self.ids([item.text or "" for item in items], special=False)), default=0)
        return super().ask(question, items)

    def _answer(self, question: str, items: Sequence[Item]) -> Array:
        if question in ("probabilities", "logits"):
            return self._classes(question, items)
        if question == "tag_probabilities":
            return self._tags(question, items)
        if question in ("embedding", "layer_means"):
            return answer_texts(question, items, lambda texts: self._features(question, texts, items))
        if self.kind == "causal":
            if question == "log_likelihood":
                return self._likelihoods(question, items)
            if question in ("option_log_likelihood", "option_token_count"):
                return self._options(question, items)
            if question == "next_tokens":
                return filled(self._along(question, items), self._longest)
            if question == "next_token_sketch":
                return self._sketches(question, items)
            if question == "end_of_turn":
                turns = ended_turns(self.tokenizer, items, self.context)
                return np.concatenate(self._score(question, [[one] for one in turns]))
        elif question in ("pseudo_log_likelihood", "pll-unchanged", "ll-changed"):
            return self._pseudo(question, items)
        elif question == "masked_log_likelihood":
            return answer_texts(question, items, lambda texts: self._masked(question, texts, items))
        raise NotMeasurable(question, f"a model of kind {self.kind!r} does not answer it")

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        """Say what was done to texts that are longer than the model's context."""
        texts = [text for item in items for text in item.pair or (item.text or item.prompt or "",)]
        room, how = self.context, "what is beyond was cut off"
        options = {option for item in items for option in item.options or ()}
        if question in ("probabilities", "logits") and self._readout is not None:
            before, after = self._readout.prompt.split("{text}")
            texts = [before + text + after for text in texts]
            options = {self._readout.completion(label) for label in self.labels}
        running = question in ("log_likelihood", "next_tokens", "next_token_sketch") and not options
        if running:
            room -= 1
        if running or question in ("pseudo_log_likelihood", "masked_log_likelihood", "pll-unchanged", "ll-changed"):
            how = "they were read in windows that overlap by half, so that every token is scored once"
        elif options:
            if question not in ("next_token_sketch", "end_of_turn"):
                room -= max(len(continuation(self.tokenizer, option)) for option in options)
            how = "their beginning was cut off"
        if question == "end_of_turn":
            lengths = [len(turn.ids) - 1 for turn in ended_turns(self.tokenizer, items)]
        else:
            lengths = [len(ids) for ids in self.ids(texts, special=not running)]
        longer = sum(length > room for length in lengths)
        if not longer:
            return ""
        return (
            f"{longer} of {len(lengths)} texts are longer than the {self.context} tokens that this model reads: {how}."
        )

    # --- features and classes ---

    def ids(self, texts: Sequence[str], *, special: bool = True, longest: int | None = None) -> list[list[int]]:
        """Token ids of texts, with the tokens that frame a text or without."""
        ids: list[list[int]] = self.tokenizer(
            list(texts), add_special_tokens=special, truncation=longest is not None, max_length=longest, verbose=False
        )["input_ids"]
        return ids

    def _read(self, question: str, texts: Sequence[str], items: Sequence[Item]) -> list[list[int]]:
        """Token ids as a deployed model reads them: with special tokens, cut at the context."""
        ids = self.ids(texts, longest=self.context)
        for text, one in zip(texts, ids, strict=True):
            if not one:
                raise NotMeasurable(question, f"the text of item {_whose(text, items)!r} has no tokens")
        self._look_at_padding(ids[0])
        return ids

    def _look_at_padding(self, ids: list[int]) -> None:
        """Find out once whether this model minds its padding, masked or not."""
        backbone = self._network.backbone
        if self._alike is None:
            some = ids[: max(1, self.context - 3)]
            self._alike = backbone is not None and (stretches(backbone) or minds_padding(backbone, some, self._pad))

    def _features(self, question: str, texts: Sequence[str], items: Sequence[Item]) -> Array:
        backbone = self._network.backbone
        if backbone is None:
            raise NotMeasurable(question, "an adapter that lives in the prompt has no features of its own")
        sequences = self._read(question, texts, items)
        if question == "layer_means":
            return layer_means(backbone, sequences, self._pad, self.progress, alike=bool(self._alike))
        return pooled(backbone, sequences, self._pad, self._pool, self.progress, alike=bool(self._alike))

    def _classes(self, question: str, items: Sequence[Item]) -> Array:
        if not self.labels or (self._readout is None and self._network.classes is None):
            raise NotMeasurable(question, "this model has no trained classification head")
        return answer_texts(question, items, lambda texts: self._classify(question, texts, items))

    def _tags(self, question: str, items: Sequence[Item]) -> Array:
        model = self._network.tags
        if model is None:
            raise NotMeasurable(question, "this model has no trained head for tags of tokens")
        read = first_pieces(self.tokenizer, [_need(item.text, item, question) for item in items], self.context)
        self._look_at_padding(read[0][0])
        return tag_probabilities(model, read, self._longest, self._pad, self.progress, alike=bool(self._alike))

    def _classify(self, question: str, texts: list[str], items: Sequence[Item]) -> Array:
        if self._readout is None:
            read = self._read(question, texts, items)
            logits = class_logits(self._network.classes, read, self._pad, self.progress, alike=bool(self._alike))
            return logits if question == "logits" else shares(logits, self._network.classes.config)
        before, after = self._readout.prompt.split("{text}")
        endings = [continuation(self.tokenizer, self._readout.completion(label)) for label in self.labels]
        long = next((n for n, ids in enumerate(endings) if not self._fits(ids)), None)
        if long is not None:
            raise NotMeasurable(question, f"the label {self.labels[long]!r} has {len(endings[long])} tokens")
        logits = self._complete(question, [before + text + after for text in texts], [endings] * len(texts))
        return logits if question == "logits" else softmax(logits)

    # --- tokens ---

    def _running(self, question: str, items: Sequence[Item]) -> list[list[int]]:
        """Token ids of texts behind a space; see `audit.models.tokens.continuation`, of which this is many at once."""
        texts = [_need(item.text, item, question) for item in items]
        begin, behind = self.ids(["a"], special=False)[0], self.ids([f"a {text}" for text in texts], special=False)
        return [
            ids[len(begin) :] if ids[: len(begin)] == begin else continuation(self.tokenizer, f" {text}")
            for text, ids in zip(texts, behind, strict=True)
        ]

    def write(self, count: int, seed: int = 0) -> list[Item]:
        """Write texts as a causal model does by itself (see `audit.models.sample.write_texts`).

        What it repeats is one document.

        Raises
        ------
        NotMeasurable
            If this is no causal language model, or it writes nothing.
        """
        if self.kind != "causal":
            raise NotMeasurable("write", f"a model of kind {self.kind!r} does not write")
        model, start = self._words("write").model, self._start("write")
        with self._switched():
            texts = write_texts(model, self.tokenizer, start, count, seed=seed, progress=self.progress)
        if not texts:
            raise NotMeasurable("write", "this model writes nothing")
        return numbered(texts, "base")

    # --- likelihoods ---

    def _words(self, question: str) -> Words:
        if self._network.words is None:
            raise NotMeasurable(question, "this model has no language-model head")
        return self._network.words

    def _likelihoods(self, question: str, items: Sequence[Item]) -> Array:
        """Whole texts after a start token, so that every token of the text is scored."""
        start = self._start(question)
        texts, pairs = _texts(question, items)
        if not pairs and (known := self._last.of(self.id, texts)):
            return np.array([known[text].total for text in texts])
        per_item = 2 if pairs else 1
        families: list[list[Scored]] = []
        owners: list[int] = []  # the text of every sequence
        for number, ids in enumerate(self.ids(texts, special=False)):
            if not ids:
                item = items[number // per_item]
                raise NotMeasurable(question, f"item {item.id!r} has an empty text: it has no likelihood to compare")
            pieces = windowed(start, ids, self.context - 1)
            owners += [number] * len(pieces)
            if number % per_item and len(pieces) == len(families[-1]) == 1:
                families[-1] += pieces  # the two sentences of a pair
            else:
                families += [[piece] for piece in pieces]
        nats = self._score(question, families)
        sums = np.zeros(len(texts))
        np.add.at(sums, owners, np.concatenate(nats))
        return sums.reshape(len(items), 2) if pairs else sums

    def _options(self, question: str, items: Sequence[Item]) -> Array:
        prompts = [_need(item.prompt, item, question) for item in items]
        options = [_need(item.options, item, question) for item in items]
        if len({len(one) for one in options}) > 1:
            raise NotMeasurable(question, "items have different numbers of options; ask them apart")
        if question == "option_token_count":
            counts = [[len(continuation(self.tokenizer, one)) for one in choices] for choices in options]
            return np.array(counts, dtype=np.float64)
        known = {option: continuation(self.tokenizer, option) for option in dict.fromkeys(itertools.chain(*options))}
        endings = [[known[option] for option in choices] for choices in options]
        unfit = [item.id for item, one in zip(items, endings, strict=True) if not all(map(self._fits, one))]
        if unfit:
            raise DoesNotFit(
                question,
                f"item {unfit[0]!r} has an option without tokens, or of more than the {self.context - 1} that this "
                "model reads behind a prompt",
                frozenset(unfit),
            )
        return self._complete(question, prompts, endings)

    def _fits(self, ending: Sequence[int]) -> bool:
        return 0 < len(ending) < self.context

    def _before(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of prompts; what closes a text does not stand between a prompt and what follows it."""
        _, closing = _framed(self.ids(["a"])[0], self.ids([""])[0])
        return [ids[: len(ids) - closing] for ids in self.ids(prompts)]

    def _complete(self, question: str, prompts: Sequence[str], endings: Sequence[Sequence[list[int]]]) -> Array:
        """Log-likelihood of each ending after its prompt, shape (n, endings)."""
        families = []
        for before, choices in zip(self._before(prompts), endings, strict=True):
            family = []
            for ids in choices:
                kept = before[-(self.context - len(ids)) :] or self._start(question)
                family.append(Scored([*kept, *ids], len(kept)))
            families.append(family)
        return np.stack(self._score(question, families))

    def _score(self, question: str, families: list[list[Scored]]) -> list[Array]:
        return log_likelihoods(self._words(question), families, self._pad, self.progress, alike=self._stretches)

    @property
    def _stretches(self) -> bool:
        return self._network.backbone is not None and stretches(self._network.backbone)

    def _along(self, question: str, items: Sequence[Item], sketch: bool = False) -> list[Read]:
        """Read texts along: one pass for every question about their tokens, whichever comes first."""
        texts, pairs = _texts(question, items)
        if pairs:
            raise NotMeasurable(question, "it is not asked of pairs")
        reads = self._last.of(self.id, texts, sketch)
        if not reads:
            unique = list(dict.fromkeys(texts))
            ids, start, words = self.ids(unique, special=False), self._start(question), self._words(question)
            if not all(ids):
                empty = items[texts.index(unique[ids.index([])])]
                raise NotMeasurable(question, f"item {empty.id!r} has an empty text: it has no token")
            few, room = len(unique) <= KEPT, self.context - 1
            told = read_along(
                words, unique, ids, start, room, self._pad, self.progress, alike=self._stretches, sketch=sketch or few
            )
            reads = dict(zip(unique, told, strict=True))
            if few or not sketch:
                self._last = LastRead(self.id, reads)
        return [reads[text] for text in texts]

    def _sketches(self, question: str, items: Sequence[Item]) -> Array:
        if items[0].prompt is None:
            sketches = [read.sketch for read in self._along(question, items, sketch=True) if read.sketch is not None]
            return np.stack(sketches).astype(np.float64)
        before = self._before([item.prompt or "" for item in items])
        prompts = [ids[-self.context :] or self._start(question) for ids in before]
        return sketches_after(self._words(question), prompts, self._pad, self.progress, alike=self._stretches)

    def _start(self, question: str) -> list[int]:
        start = self.tokenizer.bos_token_id
        start = start if start is not None else self.tokenizer.eos_token_id
        if start is None:
            raise NotMeasurable(question, "the tokenizer has neither a start nor an end token")
        return [start]

    def _mask(self, question: str) -> int:
        masked = self.tokenizer.mask_token_id
        if masked is None:
            raise NotMeasurable(question, "the tokenizer has no mask token")
        return int(masked)

    def _own(self, ids: Sequence[int]) -> list[int]:
        """Positions of a text's own tokens: the special ones are not."""
        special = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        return [i for i, token in enumerate(ids) if token not in special]

    def _masked(self, question: str, texts: Sequence[str], items: Sequence[Item]) -> Array:
        """Pseudo-likelihood in one pass: some tokens of a text are masked together, and stand for the others."""
        words, mask = self._words(question), self._mask(question)
        scale: list[float] = []
        parts: list[tuple[list[int], list[int], int]] = []
        tokens: list[list[int]] = []
        for row, (text, ids) in enumerate(zip(texts, self.ids(texts), strict=True)):
            own = self._own(ids)
            if not own:
                raise NotMeasurable(question, f"the text of item {_whose(text, items)!r} has no token to mask")
            chosen = set(_drawn(text, own))
            scale.append(len(own) / len(chosen))
            hidden = [mask if place in chosen else token for place, token in enumerate(ids)]
            for whole, part in zip(self._windowed(row, ids, chosen), self._windowed(row, hidden, chosen), strict=True):
                parts.append(part)
                tokens.append([whole[0][place] for place in part[1]])
        sequences, places, owners = zip(*parts, strict=True)
        self._look_at_padding(sequences[0])
        alike = bool(self._alike)
        nats = hidden_log_likelihoods(words, sequences, places, tokens, self._pad, self.progress, alike=alike)
        sums = np.zeros(len(texts))
        np.add.at(sums, list(owners), [part.sum() for part in nats])
        return sums * scale

    def _pseudo(self, question: str, items: Sequence[Item]) -> Array:
        words, masked = self._words(question), self._mask(question)
        texts, pairs = _texts(question, items)
        if question != "pseudo_log_likelihood" and not pairs:
            raise NotMeasurable(question, "it is asked of pairs")
        whole = self.ids(texts)
        positions = [set(self._own(ids)) for ids in whole]
        if question != "pseudo_log_likelihood":
            for row in range(0, len(whole), 2):
                for side, shared in enumerate(_shared(whole[row], whole[row + 1])):
                    chosen = positions[row + side]
                    positions[row + side] = chosen & shared if question == "pll-unchanged" else chosen - shared
        for row, chosen in enumerate(positions):
            if not chosen:
                item = items[row // 2 if pairs else row]
                raise NotMeasurable(question, f"item {item.id!r} has a text without a token to mask")
        parts = [part for row, ids in enumerate(whole) for part in self._windowed(row, ids, positions[row])]
        sequences, places, owners = zip(*parts, strict=True)
        self._look_at_padding(sequences[0])
        alike = bool(self._alike)
        nats = masked_log_likelihoods(words, sequences, places, masked, self._pad, self.progress, alike=alike)
        sums = np.zeros(len(texts))
        np.add.at(sums, list(owners), [part.sum() for part in nats])
        answer = sums / [len(chosen) for chosen in positions] if question == "ll-changed" else sums
        return answer.reshape(len(items), 2) if pairs else answer

    def _windowed(
        self, row: int, ids: Sequence[int], positions: set[int]
    ) -> Iterator[tuple[list[int], list[int], int]]:
        """Cut a masked model's text into windows: token ids, the positions that each scores, the text's row."""
        if len(ids) <= self.context:
            yield list(ids), sorted(positions), row
            return
        outer = self.ids([""])[0]
        head, tail = _framed(ids, outer)
        middle = ids[head : len(ids) - tail]
        for begin, end, first in windows(middle, self.context - len(outer)):
            scored = [i - begin for i in sorted(positions) if first + head <= i < end + head]
            if scored:
                yield [*ids[:head], *middle[begin:end], *ids[len(ids) - tail :]], scored, row


def _drawn(text: str, own: Sequence[int]) -> list[int]:
    """Draw the positions that are masked; the text itself is the seed, so that company changes nothing."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    count = max(1, round(MASKED * len(own)))
    return [int(place) for place in np.random.default_rng(seed).choice(own, count, replace=False)]


def _filled(rows: Sequence[Sequence[int]]) -> Array:
    """Rows of token ids side by side, filled up with -1."""
    filled = np.full((len(rows), max(map(len, rows), default=0)), -1.0)
    for row, ids in zip(filled, rows, strict=True):
        row[: len(ids)] = ids
    return filled


def _framed(ids: Sequence[int], frame: Sequence[int]) -> tuple[int, int]:
    """How many special tokens stand before a text and how many behind it; ``frame`` is what is put around nothing."""
    head = next((k for k, token in enumerate(frame) if k >= len(ids) or ids[k] != token), len(frame))
    return head, len(frame) - head


def _shared(first: Sequence[int], second: Sequence[int]) -> tuple[set[int], set[int]]:
    """Positions of the tokens that two sentences share, in each."""
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    return (
        {block.a + k for block in blocks for k in range(block.size)},
        {block.b + k for block in blocks for k in range(block.size)},
    )


def _texts(question: str, items: Sequence[Item]) -> tuple[list[str], bool]:
    """All texts in order, and whether they come in pairs."""
    pairs = items[0].pair is not None
    texts = [
        text
        for item in items
        for text in (_need(item.pair, item, question) if pairs else (_need(item.text, item, question),))
    ]
    return texts, pairs


def _whose(text: str, items: Sequence[Item]) -> str:
    """The item that says a text: reasons name it and do not repeat it, for they are published."""
    return next(item.id for item in items if text in (item.pair or (item.text,)))


def _need(value: T | None, item: Item, question: str) -> T:
    if value is None:
        raise NotMeasurable(question, f"item {item.id!r} has not the content that this question needs")
    return value
