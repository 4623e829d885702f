"""What the Hub reads in a README: its front matter, what is wrong with it, and the tags that follow."""

from __future__ import annotations

import re
from typing import Any

from tests.hub.store import Kind, Repo

FENCED = re.compile(r"^\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
LICENCES = (
    "afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 "
    "bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 "
    "cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 "
    "cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 "
    "cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 "
    "etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 h-research "
    "intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit "
    "mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl postgresql unknown "
    "unlicense wtfpl zlib"
)


def many(value: Any) -> list[Any]:
    """Return one value or a list of them as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def front_matter(text: str) -> dict[str, Any] | None:
    """Return the table between the first two fences, ``None`` without one; raises ValueError where it is no table."""
    import yaml  # type: ignore[import-untyped]

    found = FENCED.match(text)
    if found is None:
        return None
    try:
        table = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise ValueError(f"Invalid YAML: {str(error).splitlines()[0]}") from None
    if table is not None and not isinstance(table, dict):
        raise ValueError("The metadata must be a mapping")
    return table or None


def problems(kind: Kind, text: str) -> tuple[list[str], list[str]]:
    """Return errors and warnings about a README."""
    try:
        table = front_matter(text)
    except ValueError as error:
        return [str(error)], []
    errors = []
    if kind == "space":
        if table is None or table.get("sdk") not in ("gradio", "docker", "static"):
            errors.append('"sdk" must be one of [gradio, docker, static]')
        errors += [
            f'"{name}" must be one of [{", ".join(COLOURS)}]'
            for name in ("colorFrom", "colorTo")
            if table and table.get(name) is not None and table[name] not in COLOURS
        ]
        if table and len(str(table.get("short_description", ""))) > 60:
            errors.append('"short_description" length must be less than or equal to 60 characters long')
    if table is None:
        return errors, ["empty or missing yaml metadata in repo card"]
    errors += [
        f'"license" must be one of the known ones, not "{x}"'
        for x in many(table.get("license"))
        if x not in LICENCES.split()
    ]
    for name in ("base_model", "datasets"):
        errors += [
            f'"{name}" with value "{x}" is not valid' for x in many(table.get(name)) if not REPO_ID.fullmatch(str(x))
        ]
    if "model-index" in table and not isinstance(table["model-index"], list):
        errors.append('"model-index" must be an array')
    return errors, []


def metadata(repo: Repo, revision: str = "main") -> dict[str, Any]:
    """Return the front matter of a repository's README, empty where there is none that can be read."""
    if "README.md" not in repo.at(revision).files:
        return {}
    try:
        return front_matter(repo.read("README.md", revision).decode("utf-8", "replace")) or {}
    except ValueError:
        return {}


def tags(repo: Repo, card: dict[str, Any], paths: set[str]) -> list[str]:
    """Return the tags that the Hub derives; those of the base are what ``list_models(filter=...)`` finds."""
    found = [str(tag) for tag in many(card.get("tags"))]
    found += [str(card[name]) for name in ("library_name", "pipeline_tag") if card.get(name)]
    if any(path.endswith(".safetensors") for path in paths):
        found.append("safetensors")
    found += [str(language) for language in many(card.get("language"))]
    found += [f"dataset:{name}" for name in many(card.get("datasets"))]
    relation = card.get("base_model_relation") or ("adapter" if "adapter_config.json" in paths else "finetune")
    for base in many(card.get("base_model")):
        found += [f"base_model:{base}", f"base_model:{relation}:{base}"]
    found += [f"license:{name}" for name in many(card.get("license"))]
    return list(dict.fromkeys([*found, "region:us"]))
