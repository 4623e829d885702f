"""What a model of images and texts still names without training: the nearest prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from audit.audits import Question, binary, distinct
from audit.audits.forgetting.chance import against_chance
from audit.audits.forgetting.features import unit
from audit.errors import InputError
from audit.view import Item, NotMeasurable, View

__all__ = ["zero_shot"]

Array = NDArray[np.float64]
ANCHORS = "The prompts are those of the base's text tower on both sides: it is what deployed code has stored."


def zero_shot(
    base: View, adapted: View, images: Sequence[Item], prompts: Mapping[str, str], *, margin: float
) -> list[Question]:
    """Ask both sides for the prompt that lies nearest to an image.

    Parameters
    ----------
    base, adapted : View
        Answer ``embedding`` of images, and the base of texts, in one space.
    images : sequence of Item
        With labels.
    prompts : mapping of str to str
        What stands for each label, such as "a photo of a cat"; at least two.
    margin : float
        Of the error rate (fraction).

    Returns
    -------
    list of Question
        ``zero_shot``: 1 where the nearest prompt (cosine) is another label's, else 0.

    Raises
    ------
    InputError
        If an image has a label without a prompt, or two labels have the same prompt.
    NotMeasurable
        If there are fewer than two prompts, or a side places images elsewhere than the base its texts.

    Examples
    --------
    A sunny and a dark image, between two prompts; the adapted side turned the second:

    >>> from audit.view import replay
    >>> import pandas as pd
    >>> images = [Item(id="1", cluster="1", image="1.png", label="day"),
    ...           Item(id="2", cluster="2", image="2.png", label="night")]
    >>> def view(*vectors):
    ...     rows = [(name, k, x) for name, vector in zip(["prompt day", "prompt night", "1", "2"], vectors)
    ...             for k, x in enumerate(vector)]
    ...     table = pd.DataFrame(rows, columns=["id", "index", "value"]).assign(question="embedding")
    ...     return replay(table, kind="clip")
    >>> base = view((1.0, 0.0), (0.0, 1.0), (0.9, 0.1), (0.2, 0.8))
    >>> adapted = view((0.0, 1.0), (1.0, 0.0), (0.9, 0.1), (0.8, 0.2))
    >>> [found] = zero_shot(base, adapted, images, {"day": "by day", "night": "by night"}, margin=0.05)
    >>> found.base.tolist(), found.adapted.tolist()
    ([0.0, 0.0], [0.0, 1.0])
    """
    items = distinct(images)
    labels = sorted(prompts)
    if len(labels) < 2 or not items:
        raise NotMeasurable("zero_shot", f"{len(labels)} prompts and {len(items)} images; it takes two prompts")
    other = next((item for item in items if item.label not in prompts), None)
    if other is not None:
        choices = ", ".join(map(repr, labels))
        raise InputError(f"image {other.id!r} is labelled {other.label!r}, which has no prompt; there are {choices}")
    if len(set(prompts.values())) < len(labels):
        raise InputError(f"two of the labels {', '.join(map(repr, labels))} have the same prompt; no image could tell")
    asked = [Item(id=f"prompt {label}", cluster=label, text=prompts[label]) for label in labels]
    anchors = unit(base.ask("embedding", asked))
    truth = np.array([labels.index(item.label or "") for item in items])
    wrong = []
    for view in (base, adapted):
        vectors = view.ask("embedding", items)
        if vectors.shape != (len(items), anchors.shape[1]):
            raise NotMeasurable("zero_shot", f"images of shape {vectors.shape}, prompts of {anchors.shape}: two spaces")
        wrong.append(((unit(vectors) @ anchors.T).argmax(axis=1) != truth).astype(np.float64))
    guess = 1 - float(np.bincount(truth).max()) / len(truth)
    question = Question(
        audit="forgetting",
        name="zero_shot",
        unit="error rate",
        base=wrong[0],
        adapted=wrong[1],
        items=items,
        margin=margin,
        by=binary,
        question=f"the nearest of {len(labels)} prompts (cosine) is not that of the image's label",
        note=" ".join(filter(None, (base.treatment("embedding", asked), ANCHORS))),
    )
    return [against_chance(question, guess, f"Naming the commonest label errs in {guess:.0%}.")]
