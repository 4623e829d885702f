"""General items as a base reads them, and what a model made of it says to them, through the base's own head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel

from audit.adapt.body import backbone_of, unwrapped
from audit.adapt.plan import Plan
from audit.errors import InputError
from audit.models.batch import padded
from audit.models.clip import directions, load_clip
from audit.models.embed import token_means
from audit.models.images import load_processor, read_pixels
from audit.models.network import Network, Words, graft, load_network, minds_padding, stretches
from audit.models.pooling import longest_text, read_pooling
from audit.models.tokens import context, load_tokenizer, pad_token
from audit.models.vision import load_vision, patch_means
from audit.recipe import Gradient

__all__ = ["TOGETHER", "General", "Questions", "base_network", "drawn"]

TOGETHER = 16  # items that are asked at once
MASKED = 0.15  # of a text's tokens at once, as in the training of BERT

Rows = Sequence[int]


def drawn(seed: int, step: int, count: int, size: int, what: int = 0) -> list[int]:
    """Draw items for one step of a training: by seed and step alone, so that a resumed training draws the same.

    Examples
    --------
    >>> drawn(0, 7, 128, 4) == drawn(0, 7, 128, 4) != drawn(0, 8, 128, 4)
    True
    """
    rng = np.random.default_rng([seed, step, what])
    return [int(row) for row in rng.choice(count, min(size, count), replace=False)]


class General:
    """General items, and the base that they are put to.

    Parameters
    ----------
    plan : Plan
    network : Network
        The plan's base.

    Attributes
    ----------
    says : {"words", "classes", "vectors"}
        What the base has to say to an item: tokens where it is an encoder or a causal model with a language-model
        head, else classes where it has a trained head that chooses one, else the vector of the item.
    base
        The model; None once it was let go.

    Raises
    ------
    InputError
        If there are no items, or one is not what this kind of base reads.
    """

    def __init__(self, plan: Plan, network: Network) -> None:
        method = plan.method
        assert isinstance(method, Gradient)
        if not plan.general:
            raise InputError("[adapt.protect] items: there are none; ewc, kl, replay and stop need some")
        self.kind, self.items, self.base = plan.kind, plan.general, network.model
        self.device: torch.device = self.base.device
        self.images = plan.kind in ("vision", "clip")
        for item in plan.general:
            if not (item.image if self.images else item.text):
                what = "image" if self.images else "text"
                raise InputError(f"[adapt.protect] items: {item.id!r} is no {what}, which is what this base reads")
        worded = network.words is not None and plan.kind in ("encoder", "causal")
        self.says: Literal["words", "classes", "vectors"] = (
            "words" if worded else "classes" if _chooses(network.classes) else "vectors"
        )
        self._heads: Any = network.words.model if worded and network.words is not None else network.classes
        self._asked: tuple[Any, Words] | None = None
        if self.images:
            self._processor = load_processor(plan.base)
            self._read: dict[int, torch.Tensor] = {}
        else:
            self._tokenise(plan, method.max_length)

    def _tokenise(self, plan: Plan, longest: int) -> None:
        tokenizer = load_tokenizer(plan.base)
        longest = min(longest, context(self.base, tokenizer))
        if self.kind == "sentence_encoder":
            longest = min(longest, longest_text(plan.base) or longest)
            self._pool = read_pooling(plan.base, self.device)
        else:
            self._pool = token_means
        texts = [item.text or "" for item in self.items]
        self.sequences: list[list[int]] = tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
        short = next(
            (n for n, ids in enumerate(self.sequences) if len(ids) < (2 if self.kind == "causal" else 3)), None
        )
        if short is not None and self.says == "words":
            raise InputError(f"[adapt.protect] items: {self.items[short].id!r} has no token to ask for")
        kept = tokenizer.batch_decode(self.sequences, skip_special_tokens=True)
        self.bytes = [len(text.encode()) for text in kept]
        self._special, self._mask = set(tokenizer.all_special_ids), tokenizer.mask_token_id
        self.pad = pad_token(self.base, tokenizer)
        some, backbone = min(self.sequences, key=len)[: longest - 3], backbone_of(self.base)
        with torch.no_grad():
            minds = stretches(backbone) or minds_padding(backbone, some or self.sequences[0], self.pad)
        self._width = max(map(len, self.sequences)) if minds else 0  # then a text is padded the same in any company

    def let_go(self) -> None:
        """Forget the base but for its heads, once all has been asked of it."""
        if self._heads is not None:
            self._heads = graft(self._heads, torch.nn.Identity())
        self.base = self._asked = None

    # --- asking ---

    def tokens(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask of some items, both (n, longest)."""
        filler = [[self.pad] * self._width] if self._width else []
        ids, mask = padded([*(self.sequences[row] for row in rows), *filler], self.pad, self.device)
        return ids[: len(rows)], mask[: len(rows)]

    def vectors(self, model: Any, rows: Rows) -> torch.Tensor:
        """One vector an item, as the audits ask for it, shape (n, d)."""
        backbone = backbone_of(model)
        if self.images:
            return self._of_images(rows, lambda pixels: self._vector(backbone, pixels))
        ids, mask = self.tokens(rows)
        return self._pool(backbone(input_ids=ids, attention_mask=mask).last_hidden_state, mask)

    def _vector(self, backbone: Any, pixels: torch.Tensor) -> torch.Tensor:
        if self.kind == "clip":
            return directions(backbone.get_image_features(pixel_values=pixels))
        return patch_means(backbone(pixel_values=pixels).last_hidden_state)

    def classes(self, model: Any, rows: Rows) -> torch.Tensor:
        """Logits of the base's classes, by its head on the model's backbone, shape (n, classes)."""
        headed = graft(self._heads, backbone_of(model))
        if self.images:
            return self._of_images(rows, lambda pixels: headed(pixel_values=pixels).logits)
        ids, mask = self.tokens(rows)
        logits: torch.Tensor = headed(input_ids=ids, attention_mask=mask).logits
        return logits

    def words(self, model: Any, ids: torch.Tensor, mask: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Logits of tokens at positions of the flattened batch, shape (m, vocabulary).

        A masked model's are said by the base's head, on the model's backbone; a causal model has its own.
        """
        if self._asked is None or self._asked[0] is not model:
            if self.kind != "causal":
                headed, whole = graft(self._heads, backbone_of(model)), False
            else:
                plain = extract_model_from_parallel(model)
                config = getattr(plain, "active_peft_config", None)
                whole = bool(config is not None and config.is_prompt_learning)
                headed = plain if whole else unwrapped(model)
            self._asked = model, Words(headed, whole=whole)
        return torch.cat([logits for _, logits in self._asked[1].logits(ids, mask, at)])

    def _of_images(self, rows: Rows, answer: Any) -> torch.Tensor:
        for row in rows:
            if row not in self._read:
                item = self.items[row]
                self._read[row] = read_pixels(item.image or "", item, self._processor)
        pixels = [self._read[row].to(self.device) for row in rows]
        if len({one.shape for one in pixels}) > 1:  # a processor that keeps the shape of its images
            return torch.cat([answer(one) for one in pixels])
        said: torch.Tensor = answer(torch.cat(pixels))
        return said

    def questions(self, rows: Rows, seed: Sequence[int], most: int | None = None) -> Questions:
        """Ask for tokens of some items: of a causal model for the next ones, of a masked one for those that are hidden.

        Parameters
        ----------
        rows : sequence of int
        seed : sequence of int
            With the row draws what is hidden (15 % of a text's tokens, at least one), and which places are asked:
            the company of an item does not.
        most : int, optional
            Places a text, if not all.
        """
        ids, mask = self.tokens(rows)
        at: list[int] = []
        answers: list[int] = []
        for number, row in enumerate(rows):
            own, rng = self.sequences[row], np.random.default_rng([*seed, row])
            if self.kind == "causal":
                count = len(own) - 1
                chosen = np.sort(rng.choice(count, min(most or count, count), replace=False))
                answers += [own[place + 1] for place in chosen]
            else:
                places = [place for place, token in enumerate(own) if token not in self._special]
                hidden = max(1, round(MASKED * len(places)))
                chosen = np.sort(rng.choice(places, min(most or hidden, hidden), replace=False))
                answers += [own[place] for place in chosen]
                ids[number, torch.from_numpy(chosen).to(self.device)] = self._mask
            at += [number * ids.shape[1] + int(place) for place in chosen]
        return Questions(ids, mask, torch.tensor(at, device=self.device), torch.tensor(answers, device=self.device))


class Questions(NamedTuple):
    """What is asked of a batch of texts: ids and mask (n, length), positions in the flattened batch and tokens (m,)."""

    ids: torch.Tensor
    mask: torch.Tensor
    at: torch.Tensor
    answers: torch.Tensor


def _chooses(model: Any) -> bool:
    """Tell whether a model has a head that chooses one class of several."""
    if model is None or model.config.num_labels < 2:
        return False
    return getattr(model.config, "problem_type", None) in (None, "single_label_classification")


def base_network(plan: Plan) -> Network:
    """Load the base of a plan with the heads that it really has, in float32."""
    if plan.kind == "vision":
        return load_vision(plan.base)
    return Network(load_clip(plan.base)) if plan.kind == "clip" else load_network(plan.base, plan.kind)
