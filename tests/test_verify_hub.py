"""What is on the Hub, verified there: published by one command, pulled by the other, and changed in between."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
import typer

from audit import relay
from audit.cli.verifying import verify
from audit.errors import InputError, Unavailable
from audit.publish.hub.apply import applied
from audit.publish.hub.plan import planned
from audit.recipe import parse_recipe
from audit.verify import pulled, verified
from tests import tiny
from tests.hub import Hub

SMALL: dict[str, Any] = {"bias": {"label": "praise", "margins": {"probability": 0.02, "flips": 0.02}, "pairs": 1}}
Kind = Literal["model", "dataset", "space"]
DATA, MODEL = "tester/tiny-audit", "tester/tiny"


@pytest.fixture(scope="module")
def content(tiny_encoder: Path) -> dict[str, bytes]:
    """Files of a base."""
    files = {path.name: path.read_bytes() for path in tiny_encoder.iterdir()}
    return files | {"README.md": b"---\nlicense: mit\n---\n", "LICENSE": b"MIT License\n"}


@pytest.fixture
def published(hub: Hub, content: dict[str, bytes], tmp_path: Path) -> str:
    """A run of a base from the Hub, published; returns the tag."""
    table = tiny.recipe(Path("crew/base"), audit=SMALL)
    table["revision"] = hub.add("crew/base", dict(content)).at().sha
    text = tiny.toml(table)
    run = tmp_path / "run"
    relay.run(parse_recipe(tomllib.loads(text), "tiny"), text, run, command=["transfer-audit", "run", "tiny.toml"])
    assert verified(run).disagreements == []
    applied(planned(run, MODEL, space="none"))
    return next(iter(hub.repo(MODEL).tags))


def tampered(hub: Hub, name: str, kind: Kind, path: str, content: bytes) -> None:
    """Change a file behind everybody's back, and let the tag follow."""
    repo = hub.repo(name, kind)
    tag = next(iter(repo.tags))
    hub.commit(name, {path: content}, kind)
    repo.tags[tag] = repo.at().sha


def test_what_was_published_is_pulled_and_agrees(
    hub: Hub, published: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = hub.repo(MODEL).read("README.md").decode()
    hub.commit(MODEL, {"README.md": f"{card}\n## News\n\nIts owner writes on.\n", "LICENSE": "as it was"})
    hub.repo(MODEL).private = hub.repo(DATA, "dataset").private = True  # with the user's token
    verify(MODEL, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["agrees"], said["disagreements"]) == (True, [])
    left = {line.split(":")[0] for line in said["unchecked"]}
    assert not left & {"base", "card", "weights", "recipe"}
    assert not [one for one in said["unchecked"] if one.startswith("bias/")]
    sent = [one.path for one in hub.asked(f"/{MODEL}/resolve/", "GET")]
    assert sent
    assert not any(path.endswith("model.safetensors") for path in sent)  # its hash is known without it
    assert published.startswith("audit-")


def test_everything_that_was_changed_on_the_hub_is_named(
    hub: Hub, published: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = hub.repo(DATA, "dataset"), hub.repo(MODEL)
    rows = pd.read_parquet(BytesIO(data.read("evidence/bias.parquet")))
    rows.loc[0, "value"] = 0.5
    report = json.loads(data.read("report.json"))
    report["findings"][0]["n_items"] += 1
    weights = bytearray(model.read("model.safetensors"))
    weights[-1] ^= 1
    card = model.read("README.md").decode()
    score = f"{report['task']['adapted']['value']:.3f}"
    assert score in card
    ways: dict[str, tuple[str, Kind, str, bytes]] = {
        "evidence/bias.parquet: its sha256": (DATA, "dataset", "evidence/bias.parquet", rows.to_parquet(index=False)),
        f"{report['findings'][0]['id']}: n_items": (DATA, "dataset", "report.json", json.dumps(report).encode()),
        "weights: model.safetensors": (MODEL, "model", "model.safetensors", bytes(weights)),
        "README.md: ": (MODEL, "model", "README.md", card.replace(score, "0.123", 1).encode()),
    }
    for named, (name, kind, path, new) in ways.items():
        old = hub.repo(name, kind).read(path)
        tampered(hub, name, kind, path, new)
        with pytest.raises(typer.Exit) as done:
            verify(MODEL)
        assert done.value.exit_code == 1
        assert named in capsys.readouterr().out, named
        tampered(hub, name, kind, path, old)
    verify(MODEL)
    assert "0 disagree" in capsys.readouterr().out


def test_what_main_holds_since_the_audit_is_named(hub: Hub, published: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The tag stands still: whoever pulls the model pulls something else."""
    data, model = hub.repo(DATA, "dataset"), hub.repo(MODEL)
    weights = bytearray(model.read("model.safetensors"))
    weights[-1] ^= 1
    card = model.read("README.md").decode()
    score = f"{json.loads(data.read('report.json'))['task']['adapted']['value']:.3f}"
    ways: list[tuple[str, Kind, str, bytes, str]] = [
        (MODEL, "model", "model.safetensors", bytes(weights), "model.safetensors differs"),
        (MODEL, "model", "modeling_x.py", b"1", "modeling_x.py was added"),
        (MODEL, "model", "README.md", card.replace(score, "0.123", 1).encode(), "README.md at main: "),
        (DATA, "dataset", "evidence/bias.parquet", b"", "evidence/bias.parquet differs"),
    ]
    for name, kind, path, new, named in ways:
        repo = hub.repo(name, kind)
        before = repo.branches["main"]
        hub.commit(name, {path: new}, kind)
        with pytest.raises(typer.Exit):
            verify(MODEL)
        said = capsys.readouterr().out.split("disagrees:\n")[1]
        assert named in said
        if "README" not in path:
            assert f"{name}: main is at {repo.at().sha[:8]}, 1 commit after the audit: {named}\n" in said
        repo.branches["main"] = before
    verify(MODEL)


@pytest.mark.parametrize("method", ["full", "peft", "head"])
def test_an_untouched_publication_agrees(
    hub: Hub, content: dict[str, bytes], tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    adapt = {"full": {}, "peft": {"method": "peft", "config": {"r": 2}}, "head": {"method": "head"}}[method]
    table = tiny.recipe(Path("crew/base"), audit=SMALL)
    table["adapt"] = adapt if method == "head" else table["adapt"] | adapt
    table["revision"] = hub.add("crew/base", dict(content)).at().sha
    table["publish"] = {"license": "mit", "language": ["en"]}
    text = tiny.toml(table)
    run = tmp_path / "run"
    relay.run(parse_recipe(tomllib.loads(text), "tiny"), text, run, command=["transfer-audit", "run", "tiny.toml"])
    applied(planned(run, MODEL, space="none"))
    verify(DATA)  # the data set's name will do
    said = capsys.readouterr().out
    assert "0 disagree" in said
    assert "taken on trust: diligence" in said
    assert "to know, run the recipe again" in said


def test_what_is_gone_is_said(hub: Hub, published: str) -> None:
    hub.repo(MODEL).tags.clear()
    with pytest.raises(InputError, match=f"{MODEL}: its tag {published} is gone; publish again"):
        pulled(MODEL)
    hub.repo(DATA, "dataset").tags.clear()
    with pytest.raises(InputError, match=f"{DATA}: its tag {published} is gone; publish again"):
        pulled(MODEL)
    with pytest.raises(InputError, match=r"crew/base: no audit of it was published \(no data set crew/base-audit"):
        pulled("crew/base")


def test_a_report_under_another_s_tag_is_named(hub: Hub, published: str) -> None:
    for repo in (hub.repo(DATA, "dataset"), hub.repo(MODEL)):
        repo.tags["audit-00000000"] = repo.tags.pop(published)
    [line] = verified(pulled(MODEL)).disagreements
    assert line == f"report.json: its sha256 is that of the tag {published}, it was published under audit-00000000"


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (lambda hub: hub.fail("drop", DATA, times=50), Unavailable, "the connection to the Hub broke"),
        (lambda hub: setattr(hub.repo(DATA, "dataset"), "private", True), InputError, "log in with a token"),
        (lambda hub: hub.repo(DATA, "dataset").tags.clear(), InputError, "is gone; publish again"),
    ],
)
def test_what_cannot_be_pulled_is_one_line(
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[Hub], None],
    error: type[Exception],
    said: str,
) -> None:
    from huggingface_hub import constants

    hub.add(DATA, {"report.json": "{}"}, "dataset")
    hub.repo(DATA, "dataset").tags["audit-0"] = hub.repo(DATA, "dataset").at().sha
    fault(hub)
    if said.startswith("log in"):
        monkeypatch.setenv("HF_TOKEN", hub.account("stranger"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    with pytest.raises(error, match=said) as told:
        pulled(MODEL)
    assert "\n" not in str(told.value)
    assert hub.token not in str(told.value)


def test_what_is_no_run_and_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder; give one, or OWNER/NAME"):
        verify(str(tmp_path / "nothing"))
