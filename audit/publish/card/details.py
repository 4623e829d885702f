"""What the model is, in the card's words: the sentences around the findings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.publish.card.declared import (
    adapted_by_us,
    base_on_hub,
    library,
    pipeline_tag,
    repository,
    task_table,
)
from audit.publish.card.learnt import at_constant, things
from audit.publish.card.metadata import licence_keys
from audit.publish.card.task import NAMES, is_learnt
from audit.publish.card.text import code, number, plain
from audit.report import Report

__all__ = ["details", "direct_use", "evidence_sentence", "getting_started", "hardware", "made", "settings",
           "verify_command"]  # fmt: skip

READS = {
    "encoder": "texts",
    "sentence_encoder": "texts",
    "causal": "texts, and writes texts",
    "vision": "images",
    "clip": "images, and texts beside them",
}
PARTS = {"adapter_config.json": "an adapter of the base", "head.json": "a head", "prompt.json": "a prompt"}
EVIDENCE = {
    "none": "No evidence is kept beside the report: verdicts can be checked against their intervals, numbers not.",
    "values": "The evidence holds numbers under salted ids and no text; no item is quoted here.",
    "full": "The evidence holds the items themselves beside their numbers; none is quoted here.",
}


def made(report: Report) -> str:
    """Say what was adapted, at which revision, and how."""
    base, adapted = report.base, report.adapted
    at = f" at {plain(base.revision)}" if base.revision else ""
    said = f"{plain(adapted.id)} is {plain(base.id)}{at}"
    if not adapted_by_us(report):
        return f"{said}, adapted by somebody else in a way that is not known here."
    seeds = f", seed {adapted.seeds[0]}" if adapted.seeds else ""
    if len(adapted.seeds) > 1:
        seeds += f"; seeds {', '.join(map(str, adapted.seeds[1:]))} beside it"
    trained = f"{adapted.trainable_parameters or 0:,} trained parameters"
    return f"{said}, adapted by {code(adapted.method)} ({trained}{seeds})."


def settings(table: Mapping[str, Any], inside: str = "") -> str:
    """List settings, those of inner tables by their full name."""
    listed = [
        settings(value, f"{inside}{key}.")
        if isinstance(value, dict) and value
        else f"{plain(inside + key)} = {plain(value)}"
        for key, value in table.items()
    ]
    return ", ".join(listed)


def details(report: Report) -> list[tuple[str, str]]:
    """List facts by their names, in Markdown; what is not known is said to be."""
    base, labels = report.base, task_table(report).get("labels")
    known = [str(one) for one in labels] if isinstance(labels, list) else []
    return [
        ("Reads", READS.get(base.kind, plain(base.kind))),
        ("Does", _does(report, known)),
        ("Base", f"{code(base.id)}, {_revision(report)}; its licence: {plain(base.license or 'not known')}"),
        ("Licence", _licence(report)),
        ("Language", ", ".join(map(plain, report.adapted.language)) or "not declared"),
        ("Loaded by", library(report)),
        ("Written as", _written(report)),
    ]


def _written(report: Report) -> str:
    files = report.adapted.files
    said = [what for name, what in PARTS.items() if name in files]
    return f"{' and '.join(said or ['all weights'])}, in safetensors" if said != [PARTS["prompt.json"]] else said[0]


def _alone(report: Report) -> bool:
    """Whether the adapted model can be loaded without its base."""
    return "config.json" in report.adapted.files and "adapter_config.json" not in report.adapted.files


def _revision(report: Report) -> str:
    if report.base.revision is None:
        return "without a revision (not from the Hub); the hashes of its files are below"
    return f"revision {code(report.base.revision)}"


def _does(report: Report, labels: list[str]) -> str:
    tag = pipeline_tag(report)
    if tag is None:
        return "not known; the task below says what was asked of it"
    if not labels:
        return tag
    named = ", ".join(map(plain, labels))
    return f"{tag}: behind the recipe's prompt, one of {named}" if tag == "text-generation" else f"{tag} ({named})"


def _licence(report: Report) -> str:
    keys = licence_keys(report)
    if not keys:
        return "not declared" if report.base.license is None else "not declared, and the base's is no answer to that"
    name = plain(keys.get("license_name", keys["license"]))
    return f"{name}, {'declared in the recipe' if report.adapted.license else 'as the base; the recipe declares none'}"


def direct_use(report: Report) -> str:
    """Say what the measured task supports."""
    task, data = report.task, next(iter(report.provenance.data), {})
    if task is None:
        return "None that a measured task would support: the task was not measured."
    split = task_table(report).get("test_split", "test") if task_table(report) else None
    where = f"{plain(task.name)}{f', split {code(split)}' if split else ''}"
    items = f"{plain(data['test'])} items" if "test" in data else "its items"
    reached = f"{NAMES.get(task.metric, plain(task.metric))} {number(task.adapted)} on {items} of {where}"
    if not is_learnt(report):
        return f"None: {reached} is no better than a constant answer."
    if (constant := at_constant(report)) is not None:
        return f"None that is shown: {reached}, an interval that holds a constant answer's {constant:.3f}."
    return f"The recipe's task, on {things(report)} like its own: {reached}."


def getting_started(report: Report) -> str:
    """Say what the code below needs."""
    needs = {"transfer-audit": "transfer-audit, which reads its head or prompt", "peft": "peft and transformers"}
    said = f"With {needs.get(library(report), 'transformers')}"
    if report.adapted.id.startswith("models/"):
        said += ", from within the run's folder"
    if not adapted_by_us(report) and library(report) == "transformers":
        said += "; whether it has a head of its own is not recorded here"
    if base_on_hub(report) is None and not _alone(report):
        said += ". The base is not from the Hub: name yours in its place; the hashes below tell whether it is the same"
    return f"{said}:"


def evidence_sentence(report: Report) -> str:
    """Say what the evidence beside the report holds, and that the card quotes no item."""
    return EVIDENCE[report.provenance.evidence]


def verify_command(report: Report) -> str:
    """Return the command that computes the card's numbers again."""
    return f"transfer-audit verify {repository(report) or 'RUN'}"


def hardware(report: Report) -> str:
    """Name the machine that it was run on, as far as a result may depend on it."""
    known = report.provenance.hardware
    said = [str(known[name]) for name in ("machine", "system") if known.get(name)]
    if known.get("cpus"):
        said.append(f"{known['cpus']} CPUs")
    said.append(str(known.get("accelerator") or "no accelerator"))
    return ", ".join(map(plain, said))
