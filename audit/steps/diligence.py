"""The stage that looks up what there is to know about the base before anything is built on it."""

from __future__ import annotations

from pathlib import Path

from audit.job import Job
from audit.publish.lineage import diligence as looked_up
from audit.steps.written import finish

__all__ = ["diligence"]


def diligence(job: Job, folder: Path) -> None:
    """Ask of the base what its own files and, where it came from there, the Hub say."""
    finish(folder, [], diligence=[one.model_dump(mode="json") for one in looked_up(job.base.id, job.base.revision)])
