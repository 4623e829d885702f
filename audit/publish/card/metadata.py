"""The card's front matter: what the Hub reads of an adapted model."""

from __future__ import annotations

import re
from typing import Any

from audit.publish.card.declared import adapted_by_us, base_on_hub, hub_datasets, library, pipeline_tag, repository
from audit.publish.card.results import METRICS, model_index
from audit.publish.diligence.licences import hub_id
from audit.publish.diligence.terms import TABLE
from audit.report import Report

__all__ = ["UNLISTED", "guest_metadata", "licence_keys", "metadata"]

UNLISTED = {"0bsd": "0BSD", "gpl-2.0-or-later": "GPL-2.0-or-later", "lgpl-2.1-or-later": "LGPL-2.1-or-later",
            "mit-0": "MIT-0"}  # fmt: skip
"""Licences of the table that the Hub's list lacks, by their names at SPDX."""
GUEST = ("base_model", "base_model_relation", "tags", "model-index")
"""What is added to a card that somebody else wrote: all other keys are its owner's to choose."""


def metadata(report: Report) -> dict[str, Any]:
    """Return the front matter of the card.

    Keys that the report has no grounds for are not there: a base that is not on the Hub is no ``base_model``, and of a
    model that somebody else adapted neither licence nor task is known.

    Parameters
    ----------
    report : Report
        As it is published: ``model-index`` needs the name of the repository.

    Returns
    -------
    dict
        Plain values, lists and tables, in the order in which they are written.
    """
    name, base = repository(report), base_on_hub(report)
    found: dict[str, Any] = {**licence_keys(report)}
    if language := _languages(report):
        found["language"] = language
    if base is not None:
        found["base_model"] = base
        found["base_model_relation"] = "adapter" if _beside_its_base(report) else "finetune"
    found["library_name"] = library(report)
    if (tag := pipeline_tag(report)) is not None:
        found["pipeline_tag"] = tag
    if datasets := hub_datasets(report):
        found["datasets"] = datasets
    if report.task is not None and report.task.metric in METRICS:
        found["metrics"] = [METRICS[report.task.metric]]
    found["tags"] = ["transfer-audit"]
    if name is not None and (index := model_index(report, name)):
        found["model-index"] = index
    return found


def guest_metadata(report: Report) -> dict[str, Any]:
    """Return what is added to the front matter of a card that somebody else wrote."""
    return {key: value for key, value in metadata(report).items() if key in GUEST}


def _languages(report: Report) -> list[str]:
    return [one for one in report.adapted.language if re.fullmatch(r"[a-z]{2,3}", one)]


def _beside_its_base(report: Report) -> bool:
    """Whether the adapted model is nothing without its base: an adapter, or a head or prompt without a backbone."""
    files = report.adapted.files
    return "adapter_config.json" in files or (library(report) == "transfer-audit" and "config.json" not in files)


def licence_keys(report: Report) -> dict[str, str]:
    """Return the licence as the Hub writes it: declared, else the base's; nothing where neither is known.

    A name that the Hub's list lacks becomes ``other`` with ``license_name``, and ``license_link`` where one is known.
    """
    declared = hub_id(report.adapted.license)
    chosen = declared or (hub_id(report.base.license) if adapted_by_us(report) else None)
    if chosen is None:
        return {}
    if chosen in TABLE and chosen not in UNLISTED and chosen != "other":
        return {"license": chosen}
    if chosen in UNLISTED:
        link = f"https://spdx.org/licenses/{UNLISTED[chosen]}.html"
        return {"license": "other", "license_name": chosen, "license_link": link}
    evidence = _licence_evidence(report) if declared is None else {}
    named = _slug(evidence.get("license_name")) if chosen == "other" else _slug(chosen)
    link = _link(report, evidence.get("license_link"))
    keys = {"license": "other", "license_name": named, "license_link": link}
    return {key: value for key, value in keys.items() if value}


def _licence_evidence(report: Report) -> dict[str, Any]:
    return next((dict(one.evidence) for one in report.diligence if one.name == "licence"), {})


def _slug(name: object) -> str:
    return re.sub(r"[^a-z0-9.+-]+", "-", str(name or "").lower()).strip("-")[:64]


def _link(report: Report, link: object) -> str:
    """Return a link to the base's licence that holds outside its repository; empty where there is none."""
    said, base = str(link or ""), base_on_hub(report)
    if re.fullmatch(r"https://[\w.-]+/[\w./%+-]*", said, re.ASCII):
        return said
    if base is not None and re.fullmatch(r"[\w.-]+", said, re.ASCII):
        return f"https://huggingface.co/{base}/blob/{report.base.revision}/{said}"
    return ""
