"""What the domain gap costs: 1,000 permutations by themselves, and the whole audit beside its embedding pass."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audit.audits.gap import domain_gap
from audit.audits.gap.mmd import PERMUTATIONS, representation
from audit.audits.gap.placed import DRAWS, Samples
from audit.items import reversed_words
from audit.models.load import load_base
from audit.view import Item, View
from tests.bench.material import minilm, shared
from tests.bench.processes import seconds
from tests.bench.table import Row, middle, share

__all__ = ["rows"]

N, WIDTH = 2000, 384
SECONDS, TIMES = 3.0, 1.3  # goals
ROUNDS = 5


def rows(limit: int | None = None) -> list[Row]:
    """MMD of 2,000 + 2,000 embeddings with its ceiling and its interval; then the audit of 2,000 real texts."""
    return [_permutations(limit or N), _whole(limit or N)]


def _permutations(n: int) -> Row:
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(n, WIDTH)) + shift for shift in (0, 0.05, 0.5)]
    items = [[Item(id=f"{side}{i}", cluster=f"{side}{i}", text=f"{side} {i}") for i in range(n)] for side in "rtu"]
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()  # of one thread: a goal in seconds must not hang on who else is at work
        representation(Samples.of(*items), features)
        rounds.append((time.process_time() - started, SECONDS))
    return share(
        f"MMD of {n:,} + {n:,} × {WIDTH}: kernel, {PERMUTATIONS} permutations, {DRAWS:,} bootstrap draws, ceiling",
        rounds,
        f"{SECONDS:g} s",
        f"{middle(rounds, 0):.2f} s of one processor",
        "",
        1.0,
    )


def _whole(n: int) -> Row:
    task, reference = _sentences()[:n], _messages()[:n]
    view = Timed(load_base(minilm(), "encoder"))
    took = seconds(lambda: domain_gap(view, task, reference, reversed_words(reference), margin=0.2))
    if view.texts != len(task) + 2 * len(reference):
        raise RuntimeError(f"{view.texts} texts were embedded of {len(task)} + 2 · {len(reference)}")
    return share(
        f"the whole gap of {len(task):,} texts, as many of reference and ceiling, MiniLM",
        [(took, view.seconds)],
        "its embedding pass",
        f"{took:.1f} s",
        f"{view.seconds:.1f} s for {view.texts:,} embeddings, each once",
        TIMES,
    )


class Timed:
    """A view that counts what is embedded, and for how long."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.id, self.kind, self.labels = view.id, view.kind, view.labels
        self.seconds, self.texts = 0.0, 0

    def ask(self, question: str, items: Sequence[Item]) -> NDArray[np.float64]:
        started = time.perf_counter()
        answer = self._view.ask(question, items)
        if question == "embedding":
            self.seconds += time.perf_counter() - started
            self.texts += len(items)
        return answer

    def treatment(self, question: str, items: Sequence[Item]) -> str:
        return self._view.treatment(question, items)


def _sentences() -> list[Item]:
    """Sentences of reviews (Kotzias et al., KDD 2015)."""
    files = [shared(f"sentences_{name}.tsv") for name in ("amazon", "imdb", "yelp")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]
    return _items("review", [line.rsplit("\t", 1)[0] for line in lines])


def _messages() -> list[Item]:
    """Text messages (Almeida et al., 2011)."""
    lines = shared("sms_spam.tsv").read_text(encoding="utf-8").split("\n")[1:]
    return _items("message", [line.split("\t", 1)[1] for line in lines if line])


def _items(name: str, texts: Sequence[str]) -> list[Item]:
    once = dict.fromkeys(texts)
    return [Item(id=f"{name}{i}", cluster=f"{name}{i}", text=text) for i, text in enumerate(once)]
