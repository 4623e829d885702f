"""What the Hub's registered benchmarks say of themselves, for the data sets of a report."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]

from audit.report import Report

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["benchmarks"]

REGISTERED = "benchmark:official"
SAID = "eval.yaml"


def benchmarks(api: HfApi, report: Report) -> dict[str, object]:
    """Read the ``eval.yaml`` of every data set of a report that the Hub registered as a benchmark.

    It is read as it stands now, for the Hub ranks by that. One that is missing or cannot be read is left out: of such a
    benchmark it cannot be told what it measures.
    """
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    found: dict[str, object] = {}
    for id in {str(one["id"]) for one in report.provenance.data if one.get("id")}:
        with suppress(RepositoryNotFoundError, EntryNotFoundError, GatedRepoError, yaml.YAMLError, UnicodeDecodeError):
            info = api.dataset_info(id)
            if REGISTERED in (info.tags or []):
                path = api.hf_hub_download(id, SAID, repo_type="dataset", revision=info.sha)
                found[id] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return found
