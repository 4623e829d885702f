"""Exactly what is published: nothing private in any byte, and what was pulled back answers as what was audited."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import constants
from safetensors.numpy import load_file, save_file

from audit import relay
from audit.errors import InputError
from audit.items import shipped
from audit.models.load import load_pair
from audit.models.source import resolve
from audit.publish.bundle import Bundle, bundle, redact
from audit.publish.bundle.machine import Machine
from audit.publish.bundle.manifest import sha256
from audit.recipe import parse_recipe
from audit.report import load_report
from audit.view import Item
from tests import tiny
from tests.hub import Hub

TOKEN = "hf_" + "Zz9Yy8Xx7W" * 3
STORED = "stored-t0ken-of-nobody"
MAIL = "bob.private@clinic.example"
HOME = "/home/bobprivate"
PLANTED = (TOKEN, STORED, MAIL, HOME, "bobprivate")
SMALL = {"bias": {"label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "pairs": 1}}
ASKED = ["The staff were kind and quick.", "My parcel never arrived.", "It was neither good nor bad."]


def run(table: dict[str, Any], out: Path, text: str = "# tiny\n", command: tuple[str, ...] = ()) -> Path:
    relay.run(parse_recipe(table, "tiny.toml"), text, out, command=command)
    return out


def written(found: Bundle, folder: Path) -> Path:
    """Write a model's files as a clone of its repository would."""
    for name, content in found.model.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read(content))
    return folder


def read(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def every(found: Bundle) -> Iterator[tuple[str, bytes]]:
    """Every file, and of parquet and JSON what their encodings may hide."""
    for name, content in (*found.model.items(), *found.dataset.items()):
        raw = read(content)
        yield name, raw
        if name.endswith(".parquet"):
            frame = pd.read_parquet(io.BytesIO(raw))
            yield name, "\n".join([*frame.columns, *frame.astype(str).to_numpy().ravel()]).encode()
        if name.endswith(".json"):
            yield name, json.dumps(json.loads(raw), ensure_ascii=False).encode()


def answers(base: Path | str, model: Path | str, kind: Any, revision: str | None = None) -> Any:
    pair = load_pair(resolve(str(base), revision), resolve(str(model)), kind)
    items = [Item(id=str(n), cluster=str(n), text=text) for n, text in enumerate(ASKED)]
    return pair.adapted.ask("probabilities", items)


@pytest.fixture(scope="module")
def feedback() -> pd.DataFrame:
    """Labelled texts of the package, 100 of them, each by a writer."""
    rows = [json.loads(line) for line in shipped("feedback").read_text(encoding="utf-8").splitlines()]
    table = pd.DataFrame(rows).groupby(["split", "label"]).head(25).reset_index(drop=True)
    return table[["text", "label", "split"]].assign(writer=[f"{n}.{MAIL}" for n in range(len(table))])


@pytest.fixture(scope="module")
def base(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that says where it once lay, and under which licence it is."""
    folder = tmp_path_factory.mktemp("base") / "bert"
    shutil.copytree(tiny_encoder, folder)
    for name in ("config.json", "tokenizer_config.json"):
        said = json.loads((folder / name).read_text())
        said |= {"_name_or_path": f"{HOME}/bert", "name_or_path": f"{HOME}/bert", "contact": MAIL, "by": f"key {TOKEN}"}
        (folder / name).write_text(json.dumps(said))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A base\n")
    (folder / "LICENSE").write_text("MIT License\n\nCopyright (c) A. Author <author@university.example>\n")
    (folder / "NOTICE").write_text("Made of something.\n")
    (folder / "optimizer.pt").write_bytes(b"no")
    return folder


@pytest.fixture(scope="module")
def planted(base: Path, feedback: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with something private wherever somebody may write, its evidence in full."""
    place = tmp_path_factory.mktemp("planted")
    table = feedback.copy()
    table.loc[::5, "text"] += f" Ask {MAIL} or see {HOME}/notes.txt; the key is {TOKEN}."
    table["label"] = table["label"].replace({"praise": f"praise to {MAIL}"})
    table.to_csv(place / "reviews.csv", index=False)
    label = f"praise to {MAIL}"
    recipe = tiny.recipe(
        base,
        task={"dataset": str(place / "reviews.csv"), "labels": ["complaint", label], "cluster": "writer"},
        audit={**SMALL, "gap": {"margin": 0.1, "limit": 40}},
        publish={"evidence": "full"},
    )
    recipe["audit"]["bias"] = {**SMALL["bias"], "label": label}
    text = f'# {MAIL}, {HOME}/recipes/x.toml\nbase = "{base}"\n# {TOKEN} {STORED}\n'
    out = run(recipe, place / "run", text, ("transfer-audit", "run", f"{HOME}/x.toml", "-o", f"name='{MAIL}'"))
    return _said(out, {"evidence": "full"})


def _said(out: Path, provenance: dict[str, Any]) -> Path:
    """Let a report say of itself what the recipe said."""
    report = load_report(out)
    report.model_copy(update={"provenance": report.provenance.model_copy(update=provenance)}).save(out / "report.json")
    return out


@pytest.fixture(autouse=True)
def _tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the planted tokens: one in the environment, one in the file that logging in leaves."""
    (tmp_path / "token").write_text(STORED)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def test_nothing_private_is_in_any_byte(planted: Path, base: Path) -> None:
    found = bundle(planted, "tester/feedback")
    for name, raw in every(found):
        for secret in (*PLANTED, str(planted), str(base.parent), "/tmp/"):
            assert secret.encode() not in raw, (name, secret)
    text = found.report.recipe.text
    assert text == '# [e-mail], [path]/x.toml\nbase = "[path]/bert"\n# [token] [token]\n'
    assert found.report.provenance.command == "transfer-audit run [path]/x.toml -o 'name='\"'\"'[e-mail]'\"'\"''"
    assert found.report.provenance.data[0]["name"] == "[path]/reviews.csv"
    assert (found.report.base.id, found.report.adapted.id) == ("[path]/bert", "tester/feedback")
    assert json.loads(read(found.model["config.json"]))["id2label"] == {"0": "complaint", "1": "praise to [e-mail]"}
    own = load_report(planted)
    assert [one.change for one in found.report.findings] == [one.change for one in own.findings]
    assert found.report.adapted.files == own.adapted.files  # as audited


def test_texts_go_only_where_the_policy_says_so_and_writers_stay_apart(planted: Path) -> None:
    found = bundle(planted, "tester/feedback")
    ours = pd.read_parquet(io.BytesIO(found.dataset["evidence/bias.parquet"]))
    theirs = pd.read_parquet(planted / "evidence" / "bias.parquet")
    assert "[e-mail] or see [path]/notes.txt; the key is [token]." in " ".join(ours["text"])
    pd.testing.assert_frame_equal(ours[["value", "arm", "seed"]], theirs[["value", "arm", "seed"]])
    assert ours["cluster"].nunique() == theirs["cluster"].nunique() > 5
    writers = theirs["cluster"].str.contains("@")
    assert writers.any()
    assert set(ours["cluster"][writers].map(len)) == {16}
    assert ours["cluster"][~writers].equals(theirs["cluster"][~writers])
    assert "drivers.parquet" in found.dataset
    manifest = json.loads(found.dataset["manifest.json"])
    assert {"config.json", "evidence/bias.parquet", "report.json", "audit/report.json"} <= set(manifest["rewritten"])
    assert "model.safetensors" not in manifest["rewritten"]


def test_the_model_repository_holds_what_loading_needs_and_nothing_else(planted: Path) -> None:
    found = bundle(planted, "tester/feedback")
    assert sorted(found.model) == [
        "LICENSE",
        "NOTICE",
        "audit/manifest.json",
        "audit/report.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert read(found.model["LICENSE"]).startswith(b"MIT License")  # its authors have put their address there


def test_the_manifest_names_every_file_by_its_hash(planted: Path) -> None:
    found = bundle(planted, "tester/feedback")
    manifest = json.loads(found.dataset["manifest.json"])
    assert found.dataset["manifest.json"] == found.model["audit/manifest.json"]
    cards = {"README.md", "manifest.json", "audit/manifest.json"}
    files = {name: one for name, one in {**found.model, **found.dataset}.items() if name not in cards}
    assert manifest["files"] == {name: sha256(one) for name, one in files.items()}
    assert manifest["report"] == sha256(found.dataset["report.json"]) == manifest["files"]["audit/report.json"]
    assert manifest["base"]["id"] == "[path]/bert"
    assert manifest["schema"] == 1
    audited = load_report(planted).adapted.files
    for name, digest in audited.items():
        assert (manifest["files"][name] == digest) != (name in manifest["rewritten"])


def test_the_same_run_gives_the_same_bytes(planted: Path) -> None:
    once, again = bundle(planted, "tester/feedback"), bundle(planted, "tester/feedback")
    assert dict(every(once)) == dict(every(again))
    assert list(once.model) == list(again.model)


def test_a_full_model_answers_bit_for_bit_what_was_audited(planted: Path, base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = written(bundle(planted, "tester/feedback"), tmp_path / "clone")
    own = planted / "models" / "seed-0"
    assert np.array_equal(answers(base, folder, "encoder"), answers(base, own, "encoder"))
    models: list[Any] = [AutoModelForSequenceClassification.from_pretrained(one).eval() for one in (own, folder)]
    words: list[Any] = [
        AutoTokenizer.from_pretrained(one)(ASKED, padding=True, return_tensors="pt") for one in (own, folder)
    ]
    ours, theirs = (model(**one).logits for model, one in zip(models, words, strict=True))
    assert bool((ours == theirs).all())


# --- numbers alone ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quiet(tiny_encoder: Path, feedback: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as most are: evidence in numbers."""
    place = tmp_path_factory.mktemp("quiet")
    feedback.to_csv(place / "reviews.csv", index=False)
    table = tiny.recipe(
        tiny_encoder,
        task={"dataset": str(place / "reviews.csv"), "labels": ["complaint", "praise"], "cluster": "writer"},
        audit={**SMALL, "forgetting": {"limit": 20, "floor": False}},
    )
    return run(table, place / "run")


def test_with_values_no_text_and_no_id_is_in_any_byte(quiet: Path) -> None:
    found = bundle(quiet, "tester/quiet")
    stages = [pd.read_parquet(path) for path in sorted((quiet / "stages").glob("*/evidence.parquet"))]
    private = {str(one) for table in stages for name in ("text", "item_id", "cluster") for one in table[name]}
    private = {one for one in private if len(one) > 3}  # a number may stand anywhere
    assert len(private) > 150
    assert any(" " in one for one in private)
    for name, raw in every(found):
        if not name.startswith("tokenizer"):  # whose words are those of the texts
            assert not [one for one in private if one.encode() in raw], name
    assert set(found.dataset) >= {"evidence/bias.parquet", "evidence/task.parquet", "moved.parquet", "flipped.parquet"}
    assert found.dataset["evidence/bias.parquet"] == (quiet / "evidence" / "bias.parquet").read_bytes()


def test_evidence_that_says_more_than_the_policy_is_refused(quiet: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    path = copy / "evidence" / "bias.parquet"
    for change, message in (
        ({"text": "Hello."}, r"bias\.parquet: it holds texts, and the report says evidence = \"values\""),
        ({"item_id": "row 17"}, r"bias\.parquet: its column 'item_id' holds ids that are not salted"),
        ({"cluster": "Bob"}, r"bias\.parquet: its column 'cluster' holds ids that are not salted"),
        ({"diagnosis": "well"}, r"bias\.parquet: a column 'diagnosis', of which it is not known"),
    ):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(quiet, copy)
        pd.read_parquet(path).assign(**change).to_parquet(path, index=False)
        with pytest.raises(InputError, match=message):
            bundle(copy, "tester/quiet")
    shutil.copytree(quiet, copy, dirs_exist_ok=True)
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"bias\.parquet: cannot be read"):
        bundle(copy, "tester/quiet")


@pytest.mark.parametrize(
    "name",
    [
        "evidence/bias.parquet",
        "evidence/task.parquet",
        "evidence/forgetting.parquet",
        "moved.parquet",
        "flipped.parquet",
    ],
)
@pytest.mark.parametrize("stages", [True, False])
def test_a_run_without_what_its_report_rests_on_is_not_published_as_if_whole(
    quiet: Path, tmp_path: Path, name: str, stages: bool
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(quiet, copy)
    (copy / name).unlink()
    if not stages:  # what they left is gone too: the report says enough
        for path in copy.glob("stages/*/evidence.parquet"):
            path.unlink()
    with pytest.raises(InputError, match=rf"{name} is missing, the report rests on it; run it again"):
        bundle(copy, "tester/quiet")
    bundle(_said(copy, {"evidence": "none"}), "tester/quiet")  # then none is published


def test_a_table_that_only_a_stage_tells_of_is_missed_too(quiet: Path, planted: Path, tmp_path: Path) -> None:
    for source, name in ((quiet, "evidence/training.parquet"), (planted, "drivers.parquet")):
        copy = tmp_path / source.parent.name
        shutil.copytree(source, copy)
        (copy / name).unlink()
        with pytest.raises(InputError, match=rf"{name} is missing, the report rests on it; run it again"):
            bundle(copy, "tester/quiet")


def test_with_none_only_the_report_leaves(quiet: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet, tmp_path / "run")
    found = bundle(_said(tmp_path / "run", {"evidence": "none"}), "tester/quiet")
    assert set(found.dataset) == {"README.md", "manifest.json", "report.json"}
    assert b"viewer: false" in found.dataset["README.md"]


def test_the_data_set_is_read_table_by_table(quiet: Path, tmp_path: Path, hub: Hub) -> None:
    from datasets import load_dataset

    found = bundle(quiet, "tester/quiet")
    hub.add("tester/quiet-audit", dict(found.dataset), "dataset")
    for name in ("bias", "task", "moved"):
        path = f"evidence/{name}.parquet" if name != "moved" else "moved.parquet"
        rows = load_dataset("tester/quiet-audit", name, split="train")
        pd.testing.assert_frame_equal(
            rows.to_pandas(), pd.read_parquet(io.BytesIO(found.dataset[path])), check_dtype=False
        )
    card = found.dataset["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert [one["config_name"] for one in front["configs"] if one.get("default")] == ["bias"]
    assert "transfer-audit verify tester/quiet" in card


def test_a_changed_model_is_not_what_was_audited(quiet: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet, tmp_path / "run")
    weights = tmp_path / "run" / "models" / "seed-0" / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(InputError, match=r"model\.safetensors: is not the file that was audited"):
        bundle(tmp_path / "run", "tester/quiet")
    weights.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: is gone, but it was audited"):
        bundle(tmp_path / "run", "tester/quiet")


def test_what_was_audited_and_not_made_here_has_no_weights_to_publish(quiet: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet, tmp_path / "run")
    report = load_report(quiet)
    update: dict[str, Any] = {"method": "not known", "seeds": [], "trainable_parameters": None}
    for named, shown in (("owner/model", "owner/model"), ("/somewhere/model", "tester/quiet")):
        model = report.adapted.model_copy(update={**update, "id": named})
        report.model_copy(update={"adapted": model}).save(tmp_path / "run" / "report.json")
        found = bundle(tmp_path / "run", "tester/quiet")
        assert found.model == {}
        assert found.report.adapted.id == shown
        assert "model.safetensors" not in json.loads(found.dataset["manifest.json"])["files"]


# --- the last gate ----------------------------------------------------------------------------------------------------


def _changed(quiet: Path, copy: Path, name: str, change: Any) -> Path:
    """A run whose model says something else in one file, as if it had been audited so."""
    shutil.copytree(quiet, copy)
    path = copy / "models" / "seed-0" / name
    change(path)
    report = load_report(copy)
    files = {**report.adapted.files, name: sha256(path)}
    model = report.adapted.model_copy(update={"files": files})
    report.model_copy(update={"adapted": model}).save(copy / "report.json")
    return copy


def _with(update: dict[str, Any]) -> Any:
    def change(path: Path) -> None:
        said = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**said, **update}))

    return change


@pytest.mark.parametrize("secret", [TOKEN, STORED, MAIL, f"{HOME}/x.csv"])
def test_what_cannot_be_taken_out_is_refused_and_not_shown(quiet: Path, tmp_path: Path, secret: str) -> None:
    def header(path: Path) -> None:
        save_file(load_file(path), path, metadata={"format": "pt", "from": secret})

    for name, change, message in (
        (
            "model.safetensors",
            header,
            r"^model\.safetensors: (a token|an e-mail address|a local path) would be published",
        ),
        ("tokenizer_config.json", _with({"cls_token": secret}), r"what the model is told holds something private"),
        ("config_sentence_transformers.json", _with({"prompts": {"q": secret}}), r"what the model is told holds"),
        ("config.json", _with({"id2label": {"0": secret, "1": secret + "2"}}), None),
        ("chat_template.jinja", lambda path: path.write_text(secret), r"chat_template\.jinja: .* would be published"),
    ):
        copy = tmp_path / name
        _changed(quiet, copy, name, change)
        if message is None:
            assert not [raw for _, raw in every(bundle(copy, "tester/quiet")) if secret.encode() in raw]
            continue
        with pytest.raises(InputError, match=message) as refused:
            bundle(copy, "tester/quiet")
        assert secret not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_where_it_lay_when_it_was_loaded_is_left_out(quiet: Path, tmp_path: Path) -> None:
    said = {"name_or_path": f"{HOME}/bert", "vocab_file": "vocab.txt", "contact": MAIL}
    found = bundle(_changed(quiet, tmp_path / "run", "tokenizer_config.json", _with(said)), "tester/quiet")
    told = json.loads(read(found.model["tokenizer_config.json"]))
    assert "name_or_path" not in told
    assert (told["vocab_file"], told["contact"]) == ("vocab.txt", "[e-mail]")
    assert json.loads(found.dataset["manifest.json"])["rewritten"]["tokenizer_config.json"]


def test_names_that_only_their_privacy_tells_apart_are_refused(quiet: Path, tmp_path: Path) -> None:
    labels = {"label2id": {f"a.{MAIL}": 0, f"b.{MAIL}": 1}}
    with pytest.raises(InputError, match=r"two names in it .* differ only by something private"):
        bundle(_changed(quiet, tmp_path / "labels", "config.json", _with(labels)), "tester/quiet")
    shutil.copytree(quiet, tmp_path / "run")
    report = load_report(quiet)
    first = report.findings[0]
    slices = [
        first.model_copy(update={"group": one, "id": f"{first.id}/{one}", "origin": None}) for one in labels["label2id"]
    ]
    report.model_copy(update={"findings": [*report.findings, *slices]}).save(tmp_path / "run" / "report.json")
    with pytest.raises(InputError, match=r"report\.json: names in it differ only by something private"):
        bundle(tmp_path / "run", "tester/quiet")


@pytest.mark.parametrize(
    ("group", "told"), [(f"{HOME}/ward.csv", "[path]/ward.csv"), (MAIL, "[e-mail]"), ("bobprivate", "[user]")]
)
def test_a_finding_is_called_the_same_in_report_and_evidence(
    quiet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, told: str
) -> None:
    monkeypatch.setattr(redact, "this_machine", lambda: Machine(user=("bobprivate",)))
    shutil.copytree(quiet, tmp_path / "run")
    report = load_report(quiet)
    first = report.findings[0]
    old = first.id
    slice_ = first.model_copy(update={"group": group, "id": f"{old}/{group}", "origin": None})
    report.model_copy(update={"findings": [*report.findings, slice_]}).save(tmp_path / "run" / "report.json")
    path = tmp_path / "run" / "evidence" / "bias.parquet"
    table = pd.read_parquet(path)
    mine = table[table["question"] == old]
    more = [mine.assign(question=slice_.id), mine.assign(question=f"members/{slice_.id}")]
    pd.concat([table, *more], ignore_index=True).to_parquet(path, index=False)
    found = bundle(tmp_path / "run", "tester/quiet")
    published = found.report.findings[-1]
    assert published.id == f"{old}/{told}"
    asked = set(pd.read_parquet(io.BytesIO(found.dataset["evidence/bias.parquet"]))["question"])
    assert {published.id, f"members/{published.id}", old} <= asked
    assert not any("bobprivate" in one for one in asked)


def test_the_card_of_the_data_set_shows_what_others_wrote_as_text(quiet: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet, tmp_path / "run")
    report = load_report(quiet)
    base = report.base.model_copy(update={"id": "package:<script>x</script>|![a](b) [c](https://d.e) `f`"})
    report.model_copy(update={"base": base}).save(tmp_path / "run" / "report.json")
    card = bundle(tmp_path / "run", "tester/quiet").dataset["README.md"].decode()
    shown = card.split("made of, ")[1].split(".", 1)[0]
    assert shown.startswith("package:&lt;script&gt;x&lt;/script&gt;\\|\\!\\[a\\](b)")
    assert "://" not in shown
    (tmp_path / "run" / "evidence" / "`<b>.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="a table that no run writes"):
        bundle(tmp_path / "run", "tester/quiet")


def test_only_names_that_the_hub_can_have(quiet: Path) -> None:
    for name in ("feedback", "a/b/c", "/x/y", "a/b c", ""):
        with pytest.raises(InputError, match="not a name on the Hub; say owner/name"):
            bundle(quiet, name)


def test_what_the_base_has_on_the_hub_is_public_and_is_no_leak(quiet: Path, tmp_path: Path) -> None:
    copy = _changed(quiet, tmp_path / "run", "tokenizer_config.json", _with({"cls_token": MAIL}))
    path = copy / "models" / "seed-0" / "tokenizer_config.json"
    report = load_report(copy)
    for commit, files, refused in (
        ("a" * 40, {path.name: sha256(path)}, False),
        ("a" * 40, {path.name: "0" * 64}, True),
        (None, {path.name: sha256(path)}, True),
    ):
        update = {"id": "tester/bert", "revision": commit, "files": files, "license": "cc0-1.0"}
        report.model_copy(update={"base": report.base.model_copy(update=update)}).save(copy / "report.json")
        if refused:
            with pytest.raises(InputError, match="what the model is told holds something private"):
                bundle(copy, "tester/quiet")
        else:
            assert bundle(copy, "tester/quiet").model[path.name] == path
    path.write_text(json.dumps({"cls_token": TOKEN}))
    files = {**report.adapted.files, path.name: sha256(path)}
    theirs = report.base.model_copy(update={**update, "revision": "a" * 40, "files": files})
    model = report.adapted.model_copy(update={"files": files})
    report.model_copy(update={"base": theirs, "adapted": model}).save(copy / "report.json")
    with pytest.raises(InputError, match=r"tokenizer_config\.json: a token would be published"):
        bundle(copy, "tester/quiet")  # a token that works now is one wherever it stands


def test_the_modules_of_a_sentence_encoder_go_along_and_nothing_beside_them(quiet: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet, tmp_path / "run")
    folder = tmp_path / "run" / "models" / "seed-0"
    for name in ("1_Pooling/config.json", "1_Pooling/notes.txt", "2_Other/config.json", "checkpoint-1/config.json",
                 "optimizer.pt", "training_args.bin", "trainer_state.json", "adaptation.json"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    modules = [{"path": ""}, {"path": "1_Pooling"}, {"path": "../../../stages"}, {"path": ".."}]
    (folder / "modules.json").write_text(json.dumps(modules))
    ours = bundle(tmp_path / "run", "tester/quiet").model
    assert set(ours) - set(bundle(quiet, "tester/quiet").model) == {"modules.json", "1_Pooling/config.json"}


@pytest.mark.parametrize(
    ("licence", "carried"),
    [("mit", True), ("apache-2.0", True), ("llama3.1", True), ("mpl-2.0", True), (None, True), ("other", True),
     ("cc0-1.0", False), ("unlicense", False)],
)  # fmt: skip
def test_the_texts_of_a_licence_are_carried_where_it_asks_for_it(
    quiet: Path, base: Path, tmp_path: Path, licence: str | None, carried: bool
) -> None:
    shutil.copytree(quiet, tmp_path / "run")
    report = load_report(quiet)
    theirs = report.base.model_copy(update={"id": str(base), "license": licence})
    report.model_copy(update={"base": theirs}).save(tmp_path / "run" / "report.json")
    found = bundle(tmp_path / "run", "tester/quiet").model
    assert ({"LICENSE", "NOTICE"} <= set(found)) == carried


def test_a_licence_that_holds_a_token_is_refused(quiet: Path, tmp_path: Path) -> None:
    shutil.copytree(quiet, tmp_path / "run")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "LICENSE").write_text(f"Copyright {TOKEN}")
    report = load_report(quiet)
    theirs = report.base.model_copy(update={"id": str(tmp_path / "bert"), "license": "mit"})
    report.model_copy(update={"base": theirs}).save(tmp_path / "run" / "report.json")
    with pytest.raises(InputError, match=r"^LICENSE: a token would be published in it"):
        bundle(tmp_path / "run", "tester/quiet")


# --- what hangs on a base ---------------------------------------------------------------------------------------------


def _upload(hub: Hub, folder: Path, name: str) -> str:
    files = {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    hub.add(name, {**files, "README.md": b"---\nlicense: apache-2.0\n---\n", "LICENSE": b"Apache License\n"})
    return hub.repo(name).history()[0].sha


def _bare(name: str, revision: str, kind: str, method: dict[str, Any]) -> dict[str, Any]:
    task = {"dataset": "shipped:feedback", "labels": ["complaint", "praise"], "train_limit": 40, "test_limit": 20}
    return {
        "name": "tiny",
        "base": name,
        "revision": revision,
        "kind": kind,
        "task": task,
        "adapt": method,
        "audit": {},
    }


def test_an_adapter_names_its_base_at_its_commit_and_comes_back(
    hub: Hub, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import AutoPeftModelForSequenceClassification

    commit = _upload(hub, tiny_encoder, "tester/bert")
    method = {"method": "peft", "epochs": 1, "batch_size": 16, "max_length": 32}
    out = run(_bare("tester/bert", commit, "encoder", method), tmp_path / "run")
    found = bundle(out, "tester/lora")
    said = json.loads(read(found.model["adapter_config.json"]))
    assert (said["base_model_name_or_path"], said["revision"]) == ("tester/bert", commit)
    assert read(found.model["LICENSE"]) == b"Apache License\n"
    assert not any(name.endswith((".pt", ".bin")) or "README" in name for name in found.model)
    hub.commit("tester/bert", {"config.json": b"{}"})  # the base moves on; the pin does not
    hub.add("tester/lora", {name: read(one) for name, one in found.model.items()})
    own = answers("tester/bert", out / "models" / "seed-0", "encoder", commit)
    assert np.array_equal(answers("tester/bert", "tester/lora", "encoder", commit), own)
    model: Any = AutoPeftModelForSequenceClassification.from_pretrained("tester/lora", num_labels=2)
    assert model.peft_config["default"].revision == commit


@pytest.mark.parametrize("method", ["head", "prompt"])
def test_a_head_and_a_prompt_come_back(hub: Hub, tiny_causal: Path, tmp_path: Path, method: str) -> None:
    commit = _upload(hub, tiny_causal, "tester/llama")
    asked = {"method": method, "shots": 0} if method == "prompt" else {"method": method, "max_length": 32}
    out = run(_bare("tester/llama", commit, "causal", asked), tmp_path / "run")
    found = bundle(out, "tester/made")
    said = json.loads(read(found.model[f"{method}.json"]))
    assert (said["base"], said["revision"]) == ("tester/llama", commit)
    hub.add("tester/made", {name: read(one) for name, one in found.model.items()})
    own = answers("tester/llama", out / "models" / "seed-0", "causal", commit)
    assert np.array_equal(answers("tester/llama", "tester/made", "causal", commit), own)
    assert not json.loads(found.dataset["manifest.json"])["rewritten"].keys() & {f"{method}.json"}


@pytest.mark.parametrize(
    "method", [{"method": "head"}, {"method": "prompt", "shots": 2}, {"method": "peft", "epochs": 1}]
)
def test_what_nobody_could_load_is_refused(tiny_causal: Path, tmp_path: Path, method: dict[str, Any]) -> None:
    table = {**_bare(str(tiny_causal), "", "causal", {**method, "max_length": 200})}
    del table["revision"]
    out = run(table, tmp_path / "run")
    what = {"peft": "adapter"}.get(method["method"], method["method"])
    with pytest.raises(InputError, match=rf"the {what} alone is of no use to anybody who cannot load its base"):
        bundle(out, "tester/made")


def test_a_prompt_that_quotes_the_data_needs_leave(hub: Hub, tiny_causal: Path, tmp_path: Path) -> None:
    commit = _upload(hub, tiny_causal, "tester/llama")
    table = _bare("tester/llama", commit, "causal", {"method": "prompt", "shots": 2, "max_length": 400})
    out = run(table, tmp_path / "run")
    with pytest.raises(InputError, match=r'it quotes 2 texts of the training data, and .publish. evidence = "values"'):
        bundle(out, "tester/made")
    assert "prompt.json" in bundle(_said(out, {"evidence": "full"}), "tester/made").model
