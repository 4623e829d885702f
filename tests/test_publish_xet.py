"""Publishing as people do it: with xet left on, large files go by another way."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from audit.errors import Unavailable
from audit.publish.hub.apply import applied
from audit.publish.hub.plan import planned
from tests import bundled
from tests.hub import Hub
from tests.hub.xet import Xet, unusable


@pytest.fixture(scope="module")
def _chunks(tmp_path_factory: pytest.TempPathFactory) -> None:
    if reason := unusable(tmp_path_factory.mktemp("tried")):
        pytest.skip(reason)


@pytest.fixture
def run(_chunks: None, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    bundled.stand_in(monkeypatch)
    hub.xet = Xet(tmp_path / "xet")
    hub.add("crew/base")
    return bundled.run(tmp_path / "run")


def test_it_arrives_and_a_second_apply_writes_nothing(hub: Hub, run: Path) -> None:
    applied(planned(run, "tester/m"))
    assert hub.large == {}  # nothing came by the other way
    assert hub.repo("tester/m").read("model.safetensors") == bundled.WEIGHTS
    assert hub.repo("tester/m-audit", "dataset").read("evidence/bias.parquet").startswith(b"PAR1")
    hub.requests.clear()
    plan = planned(run, "tester/m")
    assert plan.actions == []
    applied(plan)
    assert [one for one in hub.requests if one.method not in ("GET", "HEAD")] == []


def test_what_was_interrupted_is_completed(hub: Hub, run: Path) -> None:
    hub.fail(500, "/api/models/tester/m/commit/", "POST")
    with pytest.raises(Unavailable, match=r"the model tester/m: the Hub has an error of its own \(500\); published so"):
        applied(planned(run, "tester/m"))
    hub.fail("lose", "/api/models/tester/m/commit/", "POST")
    applied(planned(run, "tester/m"))
    assert len(hub.repo("tester/m").commits) == 2
    assert hub.repo("tester/m").read("model.safetensors") == bundled.WEIGHTS


def test_without_the_storage_one_line_says_so(hub: Hub, run: Path) -> None:
    hub.xet = None
    with pytest.raises(Unavailable) as caught:
        applied(planned(run, "tester/m"))
    assert str(caught.value) == (
        "the data set tester/m-audit: the Hub's storage of large files does not answer; with HF_HUB_DISABLE_XET=1 they "
        f"go another way; published so far: {hub.endpoint}/datasets/tester/m-audit (empty)"
    )
