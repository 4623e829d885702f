"""Diligence about a base: on the loopback Hub, in a folder, and where nobody answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi, constants
from safetensors.numpy import save, save_file

from audit.diligence import Check, passed
from audit.publish.diligence import diligence, licence_check
from tests.hub import Hub

CONFIG = {"model_type": "bert", "vocab_size": 5, "hidden_size": 4, "dtype": "float32"}
WEIGHTS = save({"embedding": np.zeros((5, 4), np.float32), "bias": np.zeros(3, np.float32)})
MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software"
NAMES = [
    *("found", "licence", "gated", "successor", "training data", "activity", "formats", "remote code", "scan"),
    *("parameters", "size", "base named", "chain", "inherited licence"),
]


def card(body: str = "", **metadata: object) -> str:
    return "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in metadata.items()) + f"---\n{body}"


def model(readme: str | None = None, **more: bytes | str) -> dict[str, bytes | str]:
    """Return the files of a small model; ``more`` replaces or adds, with ``__`` for a dot."""
    files: dict[str, bytes | str] = {"config.json": json.dumps(CONFIG), "model.safetensors": WEIGHTS}
    if readme is not None:
        files["README.md"] = readme
    return files | {name.replace("__", "."): content for name, content in more.items()}


GOOD = card(license="mit", datasets=["tester/d"])


def look(source: str, **more: str | None) -> dict[str, Check]:
    checks = diligence(source, more.pop("revision", None), **more)
    for one in checks:
        assert Check.model_validate_json(one.model_dump_json()) == one  # it can stand in a report
    assert len({one.name for one in checks}) == len(checks)
    return {one.name: one for one in checks}


def outcomes(checks: Mapping[str, Check], *names: str) -> list[str]:
    return [checks[name].outcome for name in names]


def test_a_model_in_order(hub: Hub) -> None:
    repo = hub.add("tester/m", model(GOOD, LICENSE=MIT))
    repo.shows = {"downloads": 12, "likes": 3}
    checks = look("tester/m", revision=repo.at().sha)
    assert sorted(checks) == sorted(NAMES)
    assert {name: one.outcome for name, one in checks.items()} == dict.fromkeys(NAMES, "pass")
    assert passed(list(checks.values()))
    assert checks["parameters"].evidence["by_dtype"] == {"F32": 23}
    assert checks["activity"].evidence["downloads"] == 12
    assert checks["found"].evidence["revision"] == repo.at().sha
    assert checks["licence"].evidence["files"] == {"LICENSE": "mit"}
    assert checks["scan"].evidence == {"status": {"scansDone": True, "filesWithIssues": []}}
    total = sum(len(content) for content in (repo.read(path) for path in repo.paths()))
    assert checks["size"].evidence["bytes"] == total


@pytest.mark.parametrize("how", ["missing", "revision", "no id"])
def test_what_is_not_there_fails_and_nothing_else_is_said(hub: Hub, how: str) -> None:
    hub.add("tester/m", model(GOOD))
    source, revision = {"missing": ("tester/none", None), "revision": ("tester/m", "v9"), "no id": ("a//b", None)}[how]
    checks = look(source, revision=revision)
    assert checks.pop("found").outcome == "fail"
    assert {one.outcome for one in checks.values()} == {"unknown"}


def test_nothing_passes_where_nobody_answers(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("tester/m", model(GOOD))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = look("tester/m")
    assert {one.outcome for one in offline.values()} == {"unknown"}
    assert {one.said for one in offline.values() if one.name != "chain"} >= {"the Hub cannot be reached"}
    assert not passed(list(offline.values()))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for failure in (503, "drop"):
        hub.fail(failure, path="/api/models/", times=1)
        assert {one.outcome for one in look("tester/m").values()} == {"unknown"}


def test_private(hub: Hub) -> None:
    hub.add("tester/m", model(GOOD)).private = True
    assert look("tester/m")["found"].outcome == "warn"
    stranger = look("tester/m", token=hub.account("stranger"))
    assert stranger["found"].outcome == "fail"
    assert "may not see it" in stranger["found"].said


def test_renamed(hub: Hub) -> None:
    hub.add("tester/old", model(GOOD))
    HfApi().move_repo("tester/old", "tester/new")
    found = look("tester/old")["found"]
    assert (found.outcome, found.evidence["id"]) == ("warn", "tester/new")
    assert "'tester/old' is now called 'tester/new'" in found.said


def test_disabled(hub: Hub) -> None:
    hub.add("tester/m", model(GOOD)).disabled = True
    assert look("tester/m")["found"].outcome == "fail"


def test_gated(hub: Hub) -> None:
    repo = hub.add("crew/m", model(card(license="mit"), LICENSE=MIT))
    repo.gated = "manual"
    checks = look("crew/m", token=hub.account("stranger"))
    assert checks["gated"].outcome == "warn"
    assert checks["gated"].evidence == {"gated": "manual", "readable": False}
    # what lies behind the gate is not known: whether the LICENSE agrees, whether code is called, what the card says
    assert outcomes(checks, "licence", "remote code", "parameters", "training data") == ["unknown"] * 4
    repo.readers.add("guest")
    checks = look("crew/m", token=hub.account("guest"))
    assert checks["gated"].evidence == {"gated": "manual", "readable": True}
    assert outcomes(checks, "licence", "remote code", "parameters") == ["pass"] * 3


LICENCES = {
    "none": (card(datasets=["a/b"]), {}, "unknown", "its card names none"),
    "only a file": (card(datasets=["a/b"]), {"LICENSE": MIT}, "unknown", "LICENSE reads as mit"),
    "no card": (None, {"LICENSE": MIT}, "unknown", "LICENSE reads as mit"),
    "other": (card(license="other", license_name="own"), {}, "unknown", "read the file"),
    "a family": (card(license="cc"), {}, "unknown", "family"),
    "several": (card(license=["mit", "apache-2.0"]), {}, "unknown", "mit, apache-2.0"),
    "disagreement": (card(license="apache-2.0"), {"LICENSE": MIT}, "fail", "'apache-2.0', LICENSE reads as 'mit'"),
    "strange file": (card(license="mit"), {"LICENSE__md": "All rights are mine."}, "warn", "LICENSE.md is none"),
    "agreement": (card(license="mit"), {"LICENSE": MIT}, "pass", "mit by its card and LICENSE"),
    "SPDX": (card(license="MIT"), {"LICENSE": MIT}, "pass", "mit"),
}


@pytest.mark.parametrize("case", LICENCES)
def test_licence(hub: Hub, case: str) -> None:
    readme, files, outcome, said = LICENCES[case]
    hub.add("tester/m", model(readme, **files))
    found = look("tester/m")["licence"]
    assert found.outcome == outcome
    assert said in found.said


def test_formats_and_code(hub: Hub) -> None:
    hub.add("tester/both", model(GOOD, pytorch_model__bin=b"x"))
    hub.add("tester/old", {"README.md": GOOD, "config.json": "{}", "pytorch_model.bin": b"x"})
    hub.add("tester/code", model(GOOD, config__json=json.dumps(CONFIG | {"auto_map": {"AutoModel": "m.Model"}})))
    hub.add("tester/file", model(GOOD, modeling__py="import os"))
    hub.add("tester/odd", model(GOOD, config__json="{"))
    both, old = look("tester/both"), look("tester/old")
    assert (both["formats"].outcome, both["formats"].evidence["pickles"]) == ("warn", ["pytorch_model.bin"])
    assert outcomes(old, "formats", "parameters") == ["fail", "unknown"]
    code = look("tester/code")["remote code"]
    assert (code.outcome, code.evidence["auto_map"]) == ("warn", {"config.json": {"AutoModel": "m.Model"}})
    assert look("tester/file")["remote code"].outcome == "warn"
    hub.add("tester/wide", model(GOOD, config__json=json.dumps(CONFIG | {"pad": " " * (1 << 23)})))
    assert outcomes(look("tester/wide"), "remote code", "parameters") == ["unknown", "unknown"]  # who reads that much?
    assert outcomes(look("tester/odd"), "remote code", "parameters") == ["unknown", "unknown"]


def test_scan(hub: Hub) -> None:
    repo = hub.add("tester/m", model(GOOD))
    repo.scan = {"a.bin": "unsafe", "b.bin": "suspicious"}
    found = look("tester/m")["scan"]
    assert found.outcome == "fail"
    assert "'a.bin'" in found.said
    repo.scan = {"b.bin": "suspicious"}
    assert look("tester/m")["scan"].outcome == "warn"
    repo.scan, repo.scanned = {}, False
    assert look("tester/m")["scan"].outcome == "unknown"


def test_parameters_against_the_config(hub: Hub) -> None:
    hub.add("tester/half", model(GOOD, config__json=json.dumps(CONFIG | {"dtype": "float16"})))
    hub.add("tester/less", model(GOOD, config__json=json.dumps(CONFIG | {"vocab_size": 1000})))
    hub.add("tester/none", {"README.md": GOOD, "model.safetensors": WEIGHTS})
    assert look("tester/half")["parameters"].outcome == "warn"
    less = look("tester/less")["parameters"]
    assert (less.outcome, less.evidence["embedding"]) == ("fail", 4000)
    assert look("tester/none")["parameters"].outcome == "unknown"


def test_successor_and_training_data(hub: Hub) -> None:
    hub.add("tester/old", model(card(license="mit", new_version="tester/next")))
    blank = "# M\n## Training Data\n\n[More Information Needed]\n"
    hub.add("tester/blank", model(card(blank, license="mit")))
    hub.add("tester/told", model(card("# M\n## Training data\n\nLetters of 1890.\n## Uses\n", license="mit")))
    hub.add("tester/bare", model())
    old = look("tester/old")["successor"]
    assert (old.outcome, old.evidence["new_version"]) == ("warn", "tester/next")
    assert [look(f"tester/{name}")["training data"].outcome for name in ("old", "blank", "told", "bare")] == [
        *("warn", "warn", "pass", "unknown")
    ]
    assert outcomes(look("tester/bare"), "successor", "chain", "base named") == ["unknown"] * 3


def adapter(base: str | None) -> str:
    return json.dumps({"peft_type": "LORA", "base_model_name_or_path": base, "revision": None})


def test_the_chain_up_to_the_root(hub: Hub) -> None:
    hub.add("meta/root", model(card(license="apache-2.0")))
    hub.add("crew/mid", model(card(license="apache-2.0", base_model="meta/root")))
    hub.add(
        "tester/top", model(card(license="apache-2.0", base_model="crew/mid"), adapter_config__json=adapter("crew/mid"))
    )
    checks = look("tester/top", base="crew/mid")
    assert checks["base named"].outcome == "pass"
    assert [one["id"] for one in checks["chain"].evidence["links"]] == ["tester/top", "crew/mid", "meta/root"]  # type: ignore[call-overload, union-attr, index]
    assert checks["chain"].outcome == "pass"
    assert checks["inherited licence"].outcome == "warn"  # the notices of Apache-2.0 are to be carried on


def test_an_adapter_without_a_card_is_followed_by_its_config(hub: Hub) -> None:
    hub.add("crew/mid", model(card(license="mit"), adapter_config__json=adapter("crew/root")))
    hub.add("crew/root", model(card(license="mit")))
    checks = look("crew/mid")
    assert outcomes(checks, "base named", "chain") == ["pass", "pass"]
    hub.add("tester/top", model(card(license="mit", base_model="crew/mid")))
    links = look("tester/top")["chain"].evidence["links"]
    assert [one["id"] for one in links] == ["tester/top", "crew/mid", "crew/root"]  # type: ignore[call-overload, union-attr, index]


def test_bases_in_a_circle(hub: Hub) -> None:
    hub.add("a/a", model(card(license="mit", base_model="b/b")))
    hub.add("b/b", model(card(license="mit", base_model="c/c")))
    hub.add("c/c", model(card(license="mit", base_model="b/b")))
    found = look("a/a")["chain"]
    assert found.outcome == "fail"
    assert "b/b -> c/c -> b/b" in found.said
    hub.add("d/d", model(card(license="mit", base_model="d/d")))
    assert look("d/d")["chain"].outcome == "fail"


def test_two_ways_to_one_root_are_no_circle(hub: Hub) -> None:
    hub.add("a/merge", model(card(license="mit", base_model=["a/left", "a/right"])))
    for name in ("a/left", "a/right"):
        hub.add(name, model(card(license="mit", base_model="a/root")))
    hub.add("a/root", model(card(license="mit")))
    found = look("a/merge")["chain"]
    assert found.outcome == "pass"
    assert len(found.evidence["links"]) == 4  # type: ignore[arg-type]


def test_a_chain_that_breaks_off_is_unknown(hub: Hub) -> None:
    hub.add("a/a", model(card(license="mit", base_model="gone/gone")))
    hub.add("long/0", model(card(license="mit")))
    for number in range(1, 30):
        hub.add(f"long/{number}", model(card(license="mit", base_model=f"long/{number - 1}")))
    lost = look("a/a")
    assert outcomes(lost, "chain", "inherited licence") == ["unknown", "unknown"]
    assert "'gone/gone'" in lost["chain"].said
    before = len(hub.asked("/api/models/"))
    long = look("long/29")["chain"]
    assert (long.outcome, len(hub.asked("/api/models/")) - before <= 18) == ("unknown", True)


DISPUTES = {
    "card and adapter": (card(base_model="a/x"), adapter("a/y"), None, "fail", "disputed"),
    "card and recipe": (card(base_model="a/x"), None, "a/y", "fail", "the recipe says 'a/y'"),
    "one under its old name": (card(base_model="a/old"), adapter("a/x"), None, "pass", "a/old"),
    "one of a merge": (card(base_model=["a/y", "a/x"]), None, "a/x", "pass", "the card and the recipe"),
    "a path": (card(license="mit"), adapter("/home/zoltan/models/x"), None, "fail", "'.../x'"),
    "a path of Windows": (card(license="mit"), adapter("C:\\Users\\zoltan\\x"), None, "fail", "'.../x'"),
    "a name without an owner": (card(base_model="bert"), None, None, "warn", "without an owner"),
    "nothing": (card(license="mit"), None, None, "pass", "no base"),
}


@pytest.mark.parametrize("case", DISPUTES)
def test_who_is_the_base(hub: Hub, case: str) -> None:
    readme, config, recipe, outcome, said = DISPUTES[case]
    for name in ("a/old", "a/y", "bert"):
        hub.add(name, model(card(license="mit")))
    HfApi(token=hub.account("a")).move_repo("a/old", "a/x")
    hub.add("tester/m", model(readme, **({"adapter_config__json": config} if config else {})))
    checks = look("tester/m", base=recipe)
    found = checks["base named"]
    assert found.outcome == outcome
    assert said in found.said
    assert "zoltan" not in "".join(one.model_dump_json() for one in checks.values())  # no path of anybody
    assert not hub.asked("zoltan")


def test_a_dispute_is_open_while_a_name_cannot_be_looked_up(hub: Hub) -> None:
    hub.add("a/x", model(card(license="mit")))
    hub.add("tester/m", model(card(base_model="a/x"), adapter_config__json=adapter("a/y")))
    hub.fail(503, path="/api/models/a/y", times=99)
    assert look("tester/m")["base named"].outcome == "unknown"


def test_the_licence_of_a_base_is_not_given_away(hub: Hub) -> None:
    """As on the Hub: an Apache-2.0 derivative of Llama 3.1 (AIDX-ktds/ktdsbaseLM-v0.13, discussion 14)."""
    hub.add("meta/llama", model(card(license="llama3.1")))
    hub.add("tester/m", model(card(license="apache-2.0", base_model="meta/llama")))
    hub.add("tester/n", model(card(license="mit", base_model="tester/m")))
    found = look("tester/n")["inherited licence"]
    assert found.outcome == "fail"
    assert "'tester/m' from 'meta/llama'" in found.said


def test_a_folder(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in model(card(license="mit", datasets=["a/b"], base_model="a/root"), LICENSE=MIT).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    hub.add("a/root", model(card(license="mit")))
    checks = look(str(folder))
    assert sorted(checks) == sorted([*NAMES, "pickles"])
    only_the_hub = {"gated", "scan", "activity"}
    assert {name for name, one in checks.items() if one.outcome == "unknown"} == only_the_hub
    assert checks["parameters"].evidence["by_dtype"] == {"F32": 23}
    assert checks["pickles"].outcome == "pass"
    assert str(tmp_path) not in "".join(one.model_dump_json() for one in checks.values())
    save_file({"x": np.zeros(1)}, folder / "second.safetensors")
    (folder / "broken.safetensors").write_bytes(b"no")
    assert look(str(folder))["parameters"].outcome == "unknown"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert look(str(folder))["chain"].outcome == "unknown"
    (folder / "README.md").write_text("---\nlicense: [mit\n---\n")
    assert outcomes(look(str(folder)), "licence", "successor", "training data", "chain") == ["unknown"] * 4


@pytest.mark.parametrize("source", ["package:no_such_package/model", "./nowhere", "/no/such/folder/x"])
def test_a_folder_that_is_not_there(source: str) -> None:
    checks = look(source)
    assert checks.pop("found").outcome == "fail"
    assert {one.outcome for one in checks.values()} == {"unknown"}


def test_a_package() -> None:
    checks = look("package:audit/items")
    assert checks["found"].evidence == {"files": checks["size"].evidence["files"]}
    assert checks["formats"].outcome == "fail"  # no weights in it


def test_no_token_is_in_any_check(hub: Hub) -> None:
    hub.add("tester/m", model(GOOD)).gated = "auto"
    secret = hub.account("guest")
    hub.fail(500, path="/api/models/", times=1)
    for _ in range(2):
        said = "".join(one.model_dump_json() for one in diligence("tester/m", None, token=secret))
        assert secret not in said
        assert hub.token not in said


def test_licence_check() -> None:
    found = {chosen: licence_check("cc-by-sa-4.0", ["mit"], chosen).outcome for chosen in ("cc-by-sa-4.0", "mit", None)}
    assert found == {"cc-by-sa-4.0": "warn", "mit": "fail", None: "unknown"}
    assert licence_check("cc0-1.0", [], "mit").outcome == "pass"
    check = licence_check("llama3.1", ["cc-by-4.0", None], "llama3.1")
    assert check.outcome == "unknown"
    assert [one["of"] for one in check.evidence["readings"]] == ["base", "data", "data"]  # type: ignore[call-overload, union-attr, index]
