"""What people call: transformers, datasets, PEFT and evaluate, unmodified, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import HfApi, HfFileSystem, ModelCard, metadata_update
from huggingface_hub.errors import HfHubHTTPError

from tests.hub import Hub

# PEFT 0.21 asks transformers 5 by the old name
OLD_NAME = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def same(left: Any, right: Any) -> bool:
    """Tell whether two models have the same weights, bit for bit."""
    import torch

    ours, theirs = left.state_dict(), right.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_bert_goes_up_as_a_folder_and_comes_back(hub: Hub, tiny_encoder: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    api = HfApi()
    api.create_repo("tester/bert")
    first = api.upload_folder(repo_id="tester/bert", folder_path=tiny_encoder).oid
    hub.commit("tester/bert", {"config.json": "{}"})  # main moves on; the pin does not
    model: Any = AutoModel.from_pretrained("tester/bert", revision=first)
    assert same(model, AutoModel.from_pretrained(tiny_encoder))
    words: Any = AutoTokenizer.from_pretrained("tester/bert", revision=first)
    assert (
        words("good morning")["input_ids"] == AutoTokenizer.from_pretrained(tiny_encoder)("good morning")["input_ids"]
    )
    assert not [one for one in hub.requests if one.handler == ""]  # nothing was asked that is not known here


def test_bert_pushes_itself(hub: Hub, tiny_encoder: Path) -> None:
    from transformers import AutoModel

    model: Any = AutoModel.from_pretrained(tiny_encoder)
    model.push_to_hub("tester/pushed", private=True)
    assert hub.repo("tester/pushed").private
    assert same(AutoModel.from_pretrained("tester/pushed"), model)
    with pytest.raises(OSError, match="not a local folder and is not a valid model identifier"):
        AutoModel.from_pretrained("tester/pushed", token=hub.account("stranger"))


def test_gated_model_is_named(hub: Hub, tiny_encoder: Path) -> None:
    from transformers import AutoModel

    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    hub.add("crew/gated", files).gated = "auto"
    with pytest.raises(OSError, match="gated repo"):
        AutoModel.from_pretrained("crew/gated", token=hub.account("stranger"))
    AutoModel.from_pretrained("crew/gated")


@OLD_NAME
def test_adapter_and_its_base(hub: Hub, tiny_causal: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    hub.add("crew/base", {path.name: path.read_bytes() for path in tiny_causal.iterdir()})
    base: Any = AutoModelForCausalLM.from_pretrained("crew/base")
    adapted: Any = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    api = HfApi()
    api.create_repo("tester/adapter")
    api.upload_folder(repo_id="tester/adapter", folder_path=tmp_path / "adapter")
    assert {"base_model:crew/base", "base_model:adapter:crew/base"} <= set(api.model_info("tester/adapter").tags or [])
    assert [one.id for one in api.list_models(filter="base_model:adapter:crew/base")] == ["tester/adapter"]
    fresh: Any = AutoModelForCausalLM.from_pretrained("crew/base")
    assert same(PeftModel.from_pretrained(fresh, "tester/adapter"), adapted)


@OLD_NAME
def test_adapter_that_pushes_itself_loses_its_base(hub: Hub, tiny_causal: Path) -> None:
    """Why nothing here is published by push_to_hub: the card that arrives names no base."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    hub.add("crew/base", {path.name: path.read_bytes() for path in tiny_causal.iterdir()})
    base: Any = AutoModelForCausalLM.from_pretrained("crew/base")
    get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"])).push_to_hub("tester/lost")
    assert "base_model" not in ModelCard.load("tester/lost").data.to_dict()


def test_load_dataset(hub: Hub) -> None:
    from datasets import load_dataset

    text = "text,label\ngood,1\nbad,0\n"
    repo = hub.add("crew/texts", {"train.csv": text, "README.md": "---\nlicense: mit\n---\n"}, "dataset")
    hub.commit("crew/texts", {"train.csv": text + "ugly,0\n"}, "dataset")
    old: Any = load_dataset("crew/texts", split="train", revision=repo.history()[1].sha)
    assert old.to_dict() == {"text": ["good", "bad"], "label": [1, 0]}
    new: Any = load_dataset("crew/texts", split="train")
    assert new["text"][-1] == "ugly"


def test_dataset_pushed_loaded_and_streamed(hub: Hub) -> None:
    from datasets import Dataset, DatasetDict, load_dataset

    rows = Dataset.from_dict({"id": list(range(50)), "value": np.linspace(0, 1, 50).tolist()})
    DatasetDict({"train": rows, "test": rows.select(range(5))}).push_to_hub("tester/evidence", private=True)
    repo = hub.repo("tester/evidence", "dataset")
    assert [path for path in repo.paths() if path.endswith(".parquet")] == [
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
    ]
    whole: Any = load_dataset("tester/evidence")
    assert whole["train"].to_dict() == rows.to_dict()
    streamed: Any = load_dataset("tester/evidence", split="test", streaming=True)
    assert [row["id"] for row in streamed] == [0, 1, 2, 3, 4]


def test_file_system(hub: Hub) -> None:
    hub.add("crew/texts", {"a/b.txt": "0123456789"}, "dataset")
    files = HfFileSystem(endpoint=hub.endpoint, skip_instance_cache=True)
    assert files.ls("datasets/crew/texts/a", detail=False) == ["datasets/crew/texts/a/b.txt"]
    with files.open("datasets/crew/texts/a/b.txt") as file:
        file.seek(3)
        assert file.read(4) == b"3456"
    with files.open("datasets/crew/texts/c.txt", "w") as file:
        file.write("written")
    assert hub.repo("crew/texts", "dataset").read("c.txt") == b"written"


def test_metadata_update_changes_the_card(hub: Hub) -> None:
    hub.add("tester/m", {"README.md": "---\nlicense: mit\n---\n# m\n"})
    metadata_update("tester/m", {"base_model": "crew/base"})
    assert hub.repo("tester/m").read("README.md").decode() == "---\nlicense: mit\nbase_model: crew/base\n---\n# m\n"


def test_trainer_pushes_when_it_is_done(hub: Hub, tiny_encoder: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    words: Any = AutoTokenizer.from_pretrained(tiny_encoder)
    rows = Dataset.from_dict({**words(["good", "bad"] * 4), "labels": [1, 0] * 4})
    arguments = TrainingArguments(
        str(tmp_path / "out"),
        max_steps=1,
        hub_model_id="tester/trained",
        report_to=[],
        use_cpu=True,
        save_strategy="no",
    )
    model: Any = AutoModelForSequenceClassification.from_pretrained(tiny_encoder, num_labels=2)
    trainer = Trainer(model, arguments, train_dataset=rows, processing_class=words)
    trainer.train()
    trainer.push_to_hub(dataset="feedback")
    assert {"README.md", "model.safetensors", "tokenizer.json"} <= set(hub.repo("tester/trained").paths())


METRIC = """\
import datasets
import evaluate
class Accuracy(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int32"), "references": datasets.Value("int32")})
        return evaluate.MetricInfo(description="", citation="", features=features)
    def _compute(self, predictions, references):
        return {"share": sum(a == b for a, b in zip(predictions, references)) / len(references)}
"""


def test_evaluate(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)  # it extends the path for the metrics it pulls
    evaluate: Any = pytest.importorskip("evaluate", reason="the package evaluate is not installed")
    hub.add("crew/share", {"share.py": METRIC, "README.md": "---\nsdk: static\n---\n"}, "space")
    hub.add("tester/m", {"README.md": "---\nlicense: mit\n---\n# m\n"})
    hub.add("crew/texts", kind="dataset")
    share = evaluate.load("crew/share").compute(predictions=[1, 0, 1, 1], references=[1, 1, 1, 1])
    assert share == {"share": 0.75}
    evaluate.push_to_hub(
        model_id="tester/m",
        task_type="text-classification",
        dataset_type="crew/texts",
        dataset_name="texts",
        metric_type="accuracy",
        metric_name="Accuracy",
        metric_value=0.75,
    )
    assert b"value: 0.75" in hub.repo("tester/m").read("README.md")


def test_a_token_that_may_only_read(hub: Hub, tiny_encoder: Path) -> None:
    hub.add("crew/m", {"config.json": (tiny_encoder / "config.json").read_text()})
    reader = HfApi(token=hub.account("reader", role="read", orgs=["crew"]))
    reader.hf_hub_download("crew/m", "config.json")
    with pytest.raises(HfHubHTTPError, match="403"):
        reader.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="crew/m")
