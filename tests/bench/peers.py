"""What the peers do, in the interpreter of their own environment: ``PEERS_PYTHON -m tests.bench.peers WHAT ...``.

Nothing but the standard library is imported before one of them is asked.
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import sys
import time
from importlib import metadata, util
from pathlib import Path
from typing import Any

__all__: list[str] = []


def where() -> dict[str, Any]:
    """Say in which folder lm-eval lies."""
    found = util.find_spec("lm_eval")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("lm-eval is not installed here")
    return {"lm_eval": str(Path(found.origin).parent)}


def ranker(texts: list[str], folder: str, batch: int) -> dict[str, Any]:
    """Embed with what transformer-ranker gives its embedder for text classification, the last layer alone."""
    from transformer_ranker import Embedder

    embedder = Embedder(
        model=folder, sentence_pooling="mean", layer_ids="-1", layer_mean=False, local_files_only=True, device="cpu"
    )
    started = time.perf_counter()
    embedder.embed(texts, batch_size=batch, show_progress=False)
    return {"seconds": time.perf_counter() - started, "version": metadata.version("transformer-ranker")}


def sentences(texts: list[str], folder: str, batch: int) -> dict[str, Any]:
    """Embed with sentence-transformers; the vectors of the first texts are for a comparison."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    started = time.perf_counter()
    vectors = model.encode(texts, batch_size=batch, show_progress_bar=False)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "version": metadata.version("sentence-transformers"), "first": vectors[:10].tolist()}


def main() -> None:
    """Do what is named; print the outcome as one line of JSON."""
    what, *rest = sys.argv[1:]
    if what == "where":
        said = where()
    else:
        file, folder, batch = rest
        texts = json.loads(Path(file).read_text(encoding="utf-8"))
        said = {"ranker": ranker, "sentences": sentences}[what](texts, folder, int(batch))
    sys.stdout.write(f"\n{json.dumps(said)}\n")


if __name__ == "__main__":
    main()
