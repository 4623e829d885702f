"""An audit on another's page: said once, found again, edited, and never against the owner's will."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from audit.cli import remote
from audit.errors import InputError, Unavailable
from audit.publish.card import rendered as cards
from audit.publish.card.merge import BEGIN, END
from audit.publish.posts.discussion import drafted, marker_in, neutral, title_of
from audit.publish.posts.post import Post, planned_post, posted, shown_post
from audit.report import AdaptedModel, BaseModelRecord, Provenance, RecipeRecord, Report
from tests.hub import Hub
from tests.test_finding import finding

WEIGHTS = bytes(range(256)) * 8
REPO = "owner/model"
CARD = "---\nlicense: mit  # ours\ntags:\n- bert\n---\n# A model 🎉\r\nWritten by hand.\n"
BASE = "crew/base"
TITLE = "Audited against its own base, crew/base"


def report(**changes: Any) -> Report:
    """Build a report of one finding that somebody made of `REPO`."""
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    fields: dict[str, Any] = {
        "tool": "transfer-audit 0",
        "recipe": RecipeRecord(name="audit_defaults", fingerprint="f" * 64, text='name = "a"  # ```</details>\n'),
        "base": BaseModelRecord(id=BASE, revision="a" * 40, kind="encoder", license="mit", files={}),
        "adapted": AdaptedModel(
            id=REPO, method="not known", trainable_parameters=None, seeds=[], files={"model.safetensors": digest}
        ),
        "task": None,
        "findings": [finding((0.2, 0.1, 0.3))],
        "provenance": Provenance(
            created="2026-01-01T00:00:00+00:00",
            command=f"transfer-audit audit {REPO} --base {BASE} --out /home/alice/out",
            seeds=[],
            versions={},
            hardware={},
            data=[],
        ),
        "limits": ["Findings are about this one checkpoint.", "See <b>there</b>, ask alice@clinic.example."],
    }
    return Report(**{**fields, **changes})


LATER = {"findings": [finding((0.4, 0.3, 0.5))]}


@pytest.fixture
def page(hub: Hub) -> Hub:
    """A Hub with the model of somebody else."""
    hub.add(REPO, {"README.md": CARD, "model.safetensors": WEIGHTS})
    return hub


def post(one: Report, **how: Any) -> tuple[Post, str]:
    """Plan and post."""
    plan = planned_post(one, REPO, **how)
    return plan, posted(plan, lambda: planned_post(one, REPO, **how))


def writes(hub: Hub) -> list[str]:
    """Everything that was asked and is no question."""
    asked = [one for one in hub.requests if one.method != "GET" and one.method != "HEAD"]
    return [one.path.rpartition("/")[2] for one in asked if "validate-yaml" not in one.path]


# --- the text ---------------------------------------------------------------------------------------------------------


def test_the_text_is_short_whole_and_marked() -> None:
    one = report()
    draft = drafted(neutral(one, REPO), REPO, same=True)
    found = one.findings[0]
    assert found.change is not None
    for piece in (
        "1 declared finding of change",
        f"+{found.change.value:.3f} [+{found.change.low:.3f}, +{found.change.high:.3f}]",
        f"| {found.n_clusters} |",
        f"**{found.verdict}**",
        "by their sha256, those that were audited",
        "Not measured: ",
        "- Findings are about this one checkpoint.",
        f"transfer-audit audit {REPO} --base {BASE}",
        "no judgement of its fitness",
        "a" * 40,
        '````toml\nname = "a"  # ```</details>\n````\n',
    ):
        assert piece in draft.body, piece
    for hidden in ("/home/alice", "alice@clinic.example", "<b>", "None", "{{"):
        assert hidden not in draft.body
    assert "\n\n\n" not in draft.body
    assert draft.title == TITLE
    marker = marker_in(draft.body)
    assert marker == draft.marker
    assert marker is not None
    assert (marker.model, marker.base) == (REPO, "a" * 40)
    assert len(draft.body) < 4000


def test_a_text_is_marked_by_its_report_and_its_wording() -> None:
    first, same = (drafted(neutral(report(), REPO), REPO, same=True).marker for _ in range(2))
    assert first == same
    later = drafted(neutral(report(**LATER), REPO), REPO, same=True).marker
    assert later.report != first.report
    worded = drafted(neutral(report(), REPO), REPO, same=False).marker
    assert (worded.report == first.report, worded.text == first.text) == (True, False)


def test_hostile_names_stay_text() -> None:
    base = BaseModelRecord(id="x --> <script>|[a](b)", revision=None, kind="encoder", license=None, files={})
    draft = drafted(neutral(report(base=base), REPO), REPO, same=True)
    assert "<script>" not in draft.body
    assert draft.body.count("-->") == 1
    assert draft.title == title_of("none") == "Audited against its own base"


# --- a discussion -----------------------------------------------------------------------------------------------------


def test_it_is_shown_first_and_nothing_is_written(page: Hub) -> None:
    plan = planned_post(report(), REPO)
    shown = shown_post(plan)
    assert (plan.action, TITLE in shown, plan.draft.body in shown) == ("new", True, True)
    assert shown.endswith(f"would open a discussion on {REPO}")
    assert writes(page) == []


def test_it_is_posted_once_and_edited_when_the_report_is_a_new_one(page: Hub) -> None:
    plan, url = post(report())
    assert url == f"{page.endpoint}/{REPO}/discussions/1"
    (thread,) = page.repo(REPO).discussions
    assert (thread.title, thread.author, thread.pull) == (TITLE, "tester", False)
    assert thread.events[0].data["latest"]["raw"] == plan.draft.body
    page.requests.clear()
    again, there = post(report())
    assert (again.action, there, writes(page)) == ("nothing", url, [])
    later, there = post(report(**LATER))
    assert (later.action, there, writes(page)) == ("edit", url, ["edit"])
    assert (len(page.repo(REPO).discussions), len(thread.events)) == (1, 1)
    assert thread.events[0].data["latest"]["raw"] == later.draft.body
    assert post(report(**LATER))[0].action == "nothing"


def test_what_others_posted_is_not_taken_for_ours(page: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    ours = planned_post(report(), REPO).draft
    HfApi(token=page.account("copycat")).create_discussion(REPO, ours.title, description=ours.body)
    HfApi().create_discussion(REPO, "A question", description="Which licence?")
    plan, url = post(report())
    assert (plan.action, url.endswith("/discussions/3")) == ("new", True)


@pytest.mark.parametrize("how", ["closed", "hidden"])
def test_what_the_owner_closed_or_hid_stays_as_it_is(page: Hub, how: str) -> None:
    from huggingface_hub import HfApi

    post(report())
    owner = HfApi(token=page.account("owner"))
    if how == "closed":
        owner.change_discussion_status(REPO, 1, "closed")
    else:
        page.repo(REPO).discussions[0].events[0].data |= {"hidden": True, "latest": {"raw": "", "html": ""}}
    page.requests.clear()
    plan, _ = post(report(**LATER))
    assert (plan.action, writes(page)) == ("nothing", [])
    assert f"was {how} there, and is left as it is" in shown_post(plan)


# --- a pull request ---------------------------------------------------------------------------------------------------


def parts(text: str) -> tuple[dict[str, Any], str]:
    """Metadata and text of a card; the order of keys is free."""
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    return yaml.safe_load(front), body


def test_a_pull_request_changes_our_block_and_keys_alone(page: Hub) -> None:
    one = report()
    wanted = cards.card(neutral(one, REPO), CARD)
    plan, url = post(one, pull=True)
    assert (plan.action, url) == ("new", f"{page.endpoint}/{REPO}/discussions/1")
    repo = page.repo(REPO)
    (pull,) = repo.discussions
    assert (pull.pull, pull.status, pull.author) == (True, "open", "tester")
    assert pull.events[0].data["latest"]["raw"] == plan.draft.body
    assert repo.read("README.md") == CARD.encode()
    made = repo.read("README.md", "refs/pr/1").decode()
    assert made == wanted.text
    assert "license: mit  # ours\n" in made
    assert "# A model 🎉\r\nWritten by hand.\n" in made
    assert repo.paths("refs/pr/1") == repo.paths()
    assert f"+{BEGIN}" in shown_post(plan).replace("\r", "")


def test_a_pull_request_is_found_again_and_changed_only_where_it_says_something_else(page: Hub) -> None:
    _, url = post(report(), pull=True)
    page.requests.clear()
    again, there = post(report(), pull=True)
    assert (again.action, there, writes(page)) == ("nothing", url, [])
    later, there = post(report(**LATER), pull=True)
    assert (later.action, there) == ("edit", url)
    assert writes(page) == ["refs%2Fpr%2F1", "refs%2Fpr%2F1", "edit"]  # looked at, committed, and its first comment
    repo = page.repo(REPO)
    assert parts(repo.read("README.md", "refs/pr/1").decode()) == parts(
        cards.card(neutral(report(**LATER), REPO), CARD).text
    )
    assert len(repo.discussions) == 1
    page.requests.clear()
    assert (post(report(**LATER), pull=True)[0].action, writes(page)) == ("nothing", [])


def test_what_the_owner_changed_in_the_pull_request_stays(page: Hub) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi

    post(report(), pull=True)
    repo = page.repo(REPO)
    theirs = repo.read("README.md", "refs/pr/1").decode().replace("Written by hand.", "Written by the owner.")
    owner = HfApi(token=page.account("owner"))
    change = CommitOperationAdd("README.md", theirs.encode())
    owner.create_commit(REPO, [change], commit_message="mine", revision="refs/pr/1")
    assert post(report(), pull=True)[0].action == "nothing"
    post(report(**LATER), pull=True)
    assert "Written by the owner." in repo.read("README.md", "refs/pr/1").decode()


def test_merged_it_is_done_and_a_new_report_opens_another(page: Hub) -> None:
    from huggingface_hub import HfApi

    post(report(), pull=True)
    HfApi(token=page.account("owner")).merge_pull_request(REPO, 1)
    plan, _ = post(report(), pull=True)
    assert (plan.action, plan.why) == ("nothing", "its card says it already")
    assert post(report(**LATER), pull=True)[1].endswith("/discussions/2")


def test_a_closed_pull_request_is_not_opened_again(page: Hub) -> None:
    from huggingface_hub import HfApi

    post(report(), pull=True)
    HfApi(token=page.account("owner")).change_discussion_status(REPO, 1, "closed")
    assert post(report(**LATER), pull=True)[0].why.endswith("was closed there, and is left as it is")


def test_a_discussion_and_a_pull_request_do_not_know_each_other(page: Hub) -> None:
    post(report())
    assert post(report(), pull=True)[1].endswith("/discussions/2")
    assert (post(report())[0].action, post(report(), pull=True)[0].action) == ("nothing", "nothing")


def test_a_card_of_one_marker_is_not_touched(page: Hub) -> None:
    page.commit(REPO, {"README.md": f"# A model\n{END}\n"})
    with pytest.raises(InputError, match="marker without its other half"):
        planned_post(report(), REPO, pull=True)
    page.commit(REPO, {"README.md": b"\xff\xfe# A model"})
    with pytest.raises(InputError, match=r"its README.md is not UTF-8"):
        planned_post(report(), REPO, pull=True)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_report_is_about_the_weights_that_were_audited(page: Hub) -> None:
    page.commit(REPO, {"model.safetensors": WEIGHTS + b"1"})
    with pytest.raises(InputError, match=r"model.safetensors there has sha256 .* post it all the same with --about"):
        planned_post(report(), REPO)
    with pytest.raises(InputError, match="--pr does not go with --about"):
        planned_post(report(), REPO, about=True, pull=True)
    plan = planned_post(report(), REPO, about=True)
    assert "not known to be those that were audited" in plan.draft.body
    page.commit(REPO, {"model.safetensors": None})
    with pytest.raises(InputError, match=r"model.safetensors is not there"):
        planned_post(report(), REPO)


def test_the_model_of_a_run_is_known_by_its_weights(page: Hub) -> None:
    one = report()
    mine = one.adapted.model_copy(update={"id": "models/seed-0"})
    plan = planned_post(one.model_copy(update={"adapted": mine}), REPO)
    assert (plan.action, REPO in plan.draft.body, "seed-0" in plan.draft.body) == ("new", True, False)
    prompt = one.model_copy(update={"adapted": one.adapted.model_copy(update={"files": {"prompt.json": "0" * 64}})})
    plan = planned_post(prompt, REPO)
    assert "It has no weights of its own." in plan.draft.body
    assert "sha256, those" not in plan.draft.body
    without = one.adapted.model_copy(update={"id": "other/model", "files": {}})
    with pytest.raises(InputError, match="the report is about other/model, without weights"):
        planned_post(one.model_copy(update={"adapted": without}), REPO)


def test_where_it_may_not_be_posted_one_line_says_so(page: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = page.repo(REPO)
    with pytest.raises(InputError, match="written owner/name"):
        planned_post(report(), "model")
    with pytest.raises(InputError, match="owner/none: no such model on the Hub"):
        planned_post(report(), "owner/none")
    repo.gated = "manual"
    with pytest.raises(InputError, match=f"{REPO}: gated; accept its terms"):
        planned_post(report(), REPO)
    repo.gated, repo.disabled = False, True
    with pytest.raises(InputError, match=f"{REPO}: .*disabled"):
        planned_post(report(), REPO)
    repo.disabled, repo.talks = False, False
    plan = planned_post(report(), REPO)
    with pytest.raises(InputError, match=r"may not do that \(403\): Discussions are disabled.*nothing was posted"):
        posted(plan, lambda: plan)
    monkeypatch.setenv("HF_TOKEN", page.account("reader", role="read"))
    with pytest.raises(InputError, match="the token of reader may only read"):
        planned_post(report(), REPO)
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(InputError, match="no token of the Hub"):
        planned_post(report(), REPO)
    assert writes(page) == ["discussions"]


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "error", "said"),
    [
        (401, InputError, r"does not accept the token \(401\)"),
        (403, InputError, r"may not do that \(403\)"),
        (404, InputError, r"\(404\)"),
        (409, Unavailable, r"in the way there \(409\)"),
        (429, Unavailable, r"asks to wait 7 s \(429\)"),
        (500, Unavailable, r"an error of its own \(500\)"),
        ("drop", Unavailable, "connection"),
    ],
)
def test_a_failure_is_one_line_and_nothing_is_posted(page: Hub, failure: Any, error: Any, said: str) -> None:
    plan = planned_post(report(), REPO)
    page.fail(failure, "/discussions", "POST", retry_after=7)
    with pytest.raises(error, match=said) as caught:
        posted(plan, lambda: planned_post(report(), REPO))
    assert "posted" in str(caught.value)
    assert page.token not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert page.repo(REPO).discussions == []
    assert post(report())[0].action == "new"


@pytest.mark.parametrize("pull", [False, True])
def test_a_lost_answer_posts_nothing_twice(page: Hub, pull: bool) -> None:
    page.fail("lose", "/commit/" if pull else "/discussions", "POST")
    _, url = post(report(), pull=pull)
    assert url.endswith("/discussions/1")
    page.fail("lose", "/edit", "POST")
    assert post(report(**LATER), pull=pull)[1] == url
    assert (len(page.repo(REPO).discussions), post(report(**LATER), pull=pull)[0].action) == (1, "nothing")


def test_what_was_done_before_an_answer_got_lost_is_not_done_again(page: Hub) -> None:
    post(report(), pull=True)
    page.fail("lose", "/commit/", "POST")
    with pytest.raises(Unavailable, match=r"the connection to the Hub broke .*; it was not posted, or not all of it"):
        post(report(**LATER), pull=True)
    page.requests.clear()
    assert post(report(**LATER), pull=True)[0].action == "edit"
    assert writes(page) == ["edit"]


def test_metadata_of_theirs_that_the_hub_does_not_take_is_said(page: Hub) -> None:
    page.commit(REPO, {"README.md": CARD.replace("mit ", "my-own ")})
    with pytest.raises(InputError, match=r"Invalid metadata in README.md.*nothing was posted"):
        post(report(), pull=True)
    assert page.repo(REPO).discussions == []


def test_a_pull_request_that_moved_meanwhile_is_left_and_planned_again(page: Hub) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi

    post(report(), pull=True)
    plan = planned_post(report(**LATER), REPO, pull=True)
    owner, repo = HfApi(token=page.account("owner")), page.repo(REPO)
    theirs = repo.read("README.md", "refs/pr/1").decode().replace("by hand", "by the owner")
    owner.create_commit(
        REPO, [CommitOperationAdd("README.md", theirs.encode())], commit_message="mine", revision="refs/pr/1"
    )
    with pytest.raises(Unavailable, match=r"somebody has committed there since it was looked at \(412\)"):
        posted(plan, lambda: planned_post(report(**LATER), REPO, pull=True))
    assert repo.read("README.md", "refs/pr/1").decode() == theirs
    assert post(report(**LATER), pull=True)[0].action == "edit"
    assert "by the owner" in repo.read("README.md", "refs/pr/1").decode()


@pytest.mark.parametrize("question", ["/whoami-v2", "/api/models/", "/discussions"])
def test_what_cannot_be_looked_at_is_not_written_to(page: Hub, question: str) -> None:
    page.fail("drop", question, "GET", times=9)
    with pytest.raises(Unavailable, match="nothing was posted"):
        planned_post(report(), REPO)
    assert writes(page) == []


@pytest.mark.parametrize("failure", ["drop", 429, 503])
def test_a_card_that_cannot_be_read_is_not_taken_for_none(
    page: Hub, failure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client waits before it asks again
    page.fail(failure, "/resolve/", times=99)
    with pytest.raises(Unavailable, match="nothing was posted"):
        planned_post(report(), REPO, pull=True)
    page.faults.clear()
    page.commit(REPO, {"README.md": None})
    plan = planned_post(report(), REPO, pull=True)
    assert plan.readme is not None
    assert (plan.action, plan.readme.old) == ("new", "")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_shows_then_posts(page: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report().save(tmp_path / "report.json")
    remote.post(tmp_path, REPO)
    printed = capsys.readouterr().out
    assert "to post it: the same command with --apply" in printed
    assert "**" in printed
    remote.post(tmp_path, REPO, apply=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["action"], told["applied"], told["url"]) == ("new", True, f"{page.endpoint}/{REPO}/discussions/1")
    remote.post(tmp_path, REPO, apply=True)
    assert "nothing: " in capsys.readouterr().out
    assert page.token not in printed + json.dumps(told)
