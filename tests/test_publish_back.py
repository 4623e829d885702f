"""There and back: what was published is pulled by the clients that people use, and is what was audited."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit import relay
from audit.models.load import load_pair
from audit.models.source import resolve
from audit.publish.hub.apply import applied
from audit.publish.hub.plan import planned
from audit.recipe.schema import Recipe
from audit.report import load_report
from tests import tiny
from tests.hub import Hub
from tests.test_hub_clients import OLD_NAME, same

SMALL: dict[str, Any] = {"bias": {"label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "pairs": 1}}

SECRETS = ("jane.doe@example.com", "/home/jane/drafts/secret.toml", "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ12345678")


@pytest.fixture
def base(hub: Hub, tiny_encoder: Path) -> str:
    """Commit of a base on the Hub."""
    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    return hub.add("crew/base", {**files, "README.md": "---\nlicense: mit\n---\n", "LICENSE": "MIT License\n"}).at().sha


def ran(base: str, folder: Path, adapt: dict[str, Any], audit: dict[str, Any] | None = None) -> Path:
    """Run a small recipe on that base."""
    table = tiny.recipe(Path("crew/base"), audit=SMALL if audit is None else audit)
    recipe = Recipe.model_validate({**table, "revision": base, "adapt": adapt or table["adapt"]})
    relay.run(recipe, f"# {' '.join(SECRETS)}\n", folder, command=["transfer-audit", "run", SECRETS[1]])
    return folder


def published(run: Path, **options: Any) -> str:
    """Publish a run and return the tag of its report."""
    applied(planned(run, "tester/m", **options))
    plan = planned(run, "tester/m", **options)
    assert plan.actions == []
    return str(plan.repositories[1].tag)


def test_a_full_model_and_its_evidence(hub: Hub, base: str, tmp_path: Path) -> None:
    from datasets import load_dataset
    from huggingface_hub import HfApi, snapshot_download
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run = ran(base, tmp_path / "run", {})
    tag = published(run)
    for content in [*hub.blobs.values(), *hub.large.values(), str(hub.collections).encode()]:
        for secret in (*SECRETS, hub.token, str(tmp_path), "/home/jane"):
            assert secret.encode() not in content
    hub.commit("tester/m", {"config.json": "{}"})  # main moves on; the tag does not
    model: Any = AutoModelForSequenceClassification.from_pretrained("tester/m", revision=tag)
    assert same(model, AutoModelForSequenceClassification.from_pretrained(run / "models" / "seed-0"))
    words: Any = AutoTokenizer.from_pretrained("tester/m", revision=tag)
    assert words("good morning")["input_ids"]
    rows: Any = load_dataset("tester/m-audit", "bias", split="train")
    assert rows.to_pandas().equals(pd.read_parquet(run / "evidence" / "bias.parquet"))
    pulled = Path(snapshot_download("tester/m", revision=tag))
    manifest = json.loads((pulled / "audit" / "manifest.json").read_text())
    for path in ("model.safetensors", "config.json", "audit/report.json"):
        assert hashlib.sha256((pulled / path).read_bytes()).hexdigest() == manifest["files"][path]
    assert load_report(pulled / "audit" / "report.json").findings == load_report(run).findings
    api = HfApi()
    info = api.model_info("tester/m")
    assert {"base_model:crew/base", "transfer-audit"} <= set(info.tags or [])
    assert api.space_info("tester/m-audit").sdk == "static"
    (collection,) = api.list_collections(owner="tester")
    items = [(one.item_type, one.item_id) for one in api.get_collection(collection.slug).items]
    audit = "tester/m-audit"
    assert items == [("model", "crew/base"), ("model", "tester/m"), ("dataset", audit), ("space", audit)]


@OLD_NAME
def test_an_adapter_names_its_base_at_its_commit(hub: Hub, base: str, tmp_path: Path) -> None:
    import torch
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError
    from peft import AutoPeftModelForSequenceClassification, PeftConfig

    run = ran(base, tmp_path / "run", {"method": "peft", "epochs": 1, "max_length": 48}, {})
    tag = published(run, private=True)
    loaded: Any = AutoPeftModelForSequenceClassification
    here = loaded.from_pretrained(run / "models" / "seed-0")
    hub.commit("crew/base", {"config.json": "{}"})  # the base moves on; the adapter does not
    config: Any = PeftConfig.from_pretrained("tester/m", revision=tag)
    assert (config.base_model_name_or_path, config.revision) == ("crew/base", base)
    there = loaded.from_pretrained("tester/m", revision=tag)
    words = torch.tensor([[2, 40, 50, 60, 3]])
    assert torch.equal(there.eval()(input_ids=words).logits, here.eval()(input_ids=words).logits)
    with pytest.raises(RepositoryNotFoundError):
        HfApi(token=hub.account("stranger")).model_info("tester/m")


def test_a_head_is_asked_beside_its_base(hub: Hub, base: str, tmp_path: Path) -> None:
    from audit.view import Item

    run = ran(base, tmp_path / "run", {"method": "head"}, {})
    hub.add("tester/m").gated = "manual"
    published(run, space="zero-a10g")
    assert {"app.py", "requirements.txt"} <= set(hub.repo("tester/m-audit", "space").paths())
    items = [Item(id=text, cluster=text, text=text, source="test") for text in ("good morning", "bad weather")]
    before = resolve("crew/base", base)
    there, here = (
        load_pair(before, resolve(name), "encoder").adapted.ask("probabilities", items)
        for name in ("tester/m", str(run / "models" / "seed-0"))
    )
    assert np.array_equal(there, here)
