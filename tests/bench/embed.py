"""Embeddings of texts by a small encoder, against transformer-ranker and sentence-transformers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from audit.models.load import load_base
from audit.view import Item
from tests.bench.material import minilm, shared
from tests.bench.processes import peers_python, seconds, seconds_of
from tests.bench.table import Row, faster, middle

__all__ = ["rows"]

ROUNDS = 3
RANKER_BATCH = 4  # its best of 1, 2, 4, 8, 16, 32, 64, 128 on these texts
SENTENCES_BATCH = 32  # its default; 8 and 16 are within 4 %


def rows(limit: int | None = None) -> list[Row]:
    """2,000 distinct sentences through MiniLM: seconds of the embedding alone, tokenizing included, on all sides."""
    python, texts = peers_python(), _texts()[: limit or 2000]
    source = minilm()
    view = load_base(source, "encoder")
    items = [Item(id=str(number), cluster=str(number), text=text) for number, text in enumerate(texts)]
    rounds: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")

        def theirs(what: str, batch: int) -> Any:
            arguments = [what, str(file), str(source.folder), str(batch)]
            return seconds_of([python, "-m", "tests.bench.peers", *arguments])[1]

        _agree(view.ask("embedding", items[:10]), theirs("sentences", SENTENCES_BATCH)["first"])
        for _ in range(ROUNDS):
            own = seconds(lambda: view.ask("embedding", items))
            ranker, encode = theirs("ranker", RANKER_BATCH), theirs("sentences", SENTENCES_BATCH)
            rounds.append((own, ranker["seconds"], encode["seconds"]))
    what = f"embeddings of {len(texts):,} sentences, MiniLM (6 layers, 384)"
    ours = f"{middle(rounds, 0):.1f} s"
    return [
        faster(
            what,
            [(own, other) for own, other, _ in rounds],
            ours,
            f"transformer-ranker {ranker['version']}, batches of {RANKER_BATCH}: {middle(rounds, 1):.1f} s",
            goal=1.5,
        ),
        faster(
            what,
            [(own, other) for own, _, other in rounds],
            ours,
            f"sentence-transformers {encode['version']}, batches of {SENTENCES_BATCH}: {middle(rounds, 2):.1f} s",
        ),
    ]


def _texts() -> list[str]:
    """Sentences of reviews, each once: nobody gains by remembering (Kotzias et al., KDD 2015)."""
    files = [shared(f"sentences_{name}.tsv") for name in ("amazon", "imdb", "yelp")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line]
    return list(dict.fromkeys(line.rsplit("\t", 1)[0] for line in lines))


def _agree(own: Any, other: Any) -> None:
    """See that the same thing is computed; sentence-transformers' vectors are of length 1."""
    np.testing.assert_allclose(own / np.linalg.norm(own, axis=1, keepdims=True), other, atol=1e-5)
