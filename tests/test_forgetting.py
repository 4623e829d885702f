"""The stage of forgetting: floor, drift, what is remembered, images, and what it makes of bad packs."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from audit import relay
from audit.audits import Question, binary, findings
from audit.audits.forgetting import Probe, compared
from audit.audits.forgetting.choice import multiple_choice
from audit.cli.runs import _failed, _finish
from audit.errors import InputError
from audit.finding import Finding, Verdict
from audit.items.task import read_task
from audit.models.null import COPIES, null_copies
from audit.models.text import TextView
from audit.publish.card import render, sentence
from audit.publish.card.forgetting import flips_sentence, forgetting_sentence
from audit.recipe.reading import parse_recipe
from audit.report import Report, load_report
from audit.retention import allowed, words
from audit.view import Item, NotMeasurable, replay
from tests import families, tiny
from tests.test_laws import table as recorded_table

OPTIONS = (" a", " b", " c", " d")


def run(table: dict[str, Any], out: Path, **settings: Any) -> Report:
    return relay.run(parse_recipe(table, "tiny.toml"), "# tiny", out, **settings)[0]


def only_forgetting(base: Path, **forgetting: Any) -> dict[str, Any]:
    return tiny.recipe(base, audit={"forgetting": {"limit": 40, **forgetting}})


# --- known answers ----------------------------------------------------------------------------------------------------


def questions(n: int) -> list[Item]:
    return [Item(id=f"q{i}", cluster=f"q{i}", prompt=f"p {i}", options=OPTIONS, label=OPTIONS[i % 4]) for i in range(n)]


def answered(items: Sequence[Item], wrong: Sequence[int]) -> Any:
    nats = np.full((len(items), 4), -9.0)
    for row, item in enumerate(items):
        assert item.options is not None
        nats[row, (item.options.index(item.label or "") + (row in wrong)) % 4] = -1.0
    return replay(recorded_table({"option_log_likelihood": nats}, list(items)), kind="causal")


def asked_about(items: list[Item]) -> list[Probe]:
    return [Probe("choice", lambda base, adapted: multiple_choice(base, adapted, items, margin=0.05))]


def test_planted_flips_are_counted_one_by_one() -> None:
    """Of 60 questions the base misses 20 to 29; twelve more are lost, four gained."""
    items = questions(60)
    base, adapted = answered(items, range(20, 30)), answered(items, [*range(12), *range(24, 30)])
    [flips] = compared(base, adapted, asked_about(items)).flips
    assert (flips.lost, flips.gained, flips.both, flips.neither) == (12, 4, 38, 6)
    assert flips.negative_flip_rate == 0.2
    assert flips.compatibility == pytest.approx(38 / 50)
    # 12/60 · 4/3 - 6/60 · 4/9, and 4/60 · 4/3 - 6/60 · 4/9: an item is known, or guessed with 1 in 4
    assert flips.known_lost == pytest.approx((0.2 * 4 / 3 - 0.1 * 4 / 9, 0.2 * 4 / 3))
    assert flips.known_gained == pytest.approx((4 / 60 * 4 / 3 - 0.1 * 4 / 9, 4 / 60 * 4 / 3))


@pytest.mark.parametrize("repeats", [0.0, 1.0])
def test_what_was_known_and_is_lost_lies_between_both_ends_however_guesses_go(repeats: float) -> None:
    """Drawn: of 6,000 questions the base knows 30 %, the adapted model a third of those fewer; the rest is guessed."""
    rng, n = np.random.default_rng(0), 6_000
    known, still = np.arange(n) < 0.3 * n, np.arange(n) < 0.2 * n
    guess, other = rng.random((2, n)) < 0.25
    was, now = known | guess, still | np.where(rng.random(n) < repeats, guess | known & other, other)
    now = np.where(known & ~still, other, now)  # what was known was not guessed: nothing is there to repeat
    items = questions(n)
    base, adapted = (answered(items, np.flatnonzero(~side).tolist()) for side in (was, now))
    [flips] = compared(base, adapted, asked_about(items)).flips
    assert flips.known_lost is not None
    assert flips.known_lost[int(repeats)] == pytest.approx(0.1, abs=0.015)
    assert flips.known_lost[0] - 0.015 < 0.1 < flips.known_lost[1] + 0.015
    said = f"between {100 * flips.known_lost[0]:.1f} and {100 * flips.known_lost[1]:.1f} % of all items were known"
    assert said in flips_sentence(flips)


def test_a_change_is_backward_transfer_with_its_sign_turned() -> None:
    """Two stages, the base and what was made of it: BWT = R[1][0] - R[0][0] (Lopez-Paz and Ranzato, NeurIPS 2017).

    And forgetting = max over earlier stages of R[.][0], minus R[1][0] (Chaudhry et al., ECCV 2018).
    """
    items = questions(50)
    right = np.array([[40], [31]]) / 50  # accuracy on the base's own questions, by stage
    backward_transfer, forgotten = right[1, 0] - right[0, 0], right[:1, 0].max() - right[1, 0]
    base, adapted = answered(items, range(10)), answered(items, range(19))
    [found] = compared(base, adapted, asked_about(items)).findings
    assert found.change is not None
    assert found.change.value == pytest.approx(-backward_transfer) == pytest.approx(forgotten)


def test_detection_and_interval_are_the_published_ones() -> None:
    """Exact McNemar of 12 lost and 4 gained: two-sided binomial(16, 1/2) = 2 · 2517/65536; Tango 1998 inverted."""
    items = questions(500)
    base, adapted = answered(items, range(4)), answered(items, range(4, 16))
    [found] = compared(base, adapted, asked_about(items)).findings
    assert found.p == pytest.approx(2 * 2517 / 65536)
    assert found.decision.same[1] == pytest.approx(0.0310, abs=5e-5)


@pytest.mark.parametrize(("n", "verdict"), [(10, "unclear"), (50, "unclear"), (52, "same"), (60, "same")])
def test_nothing_lost_is_retained_only_if_there_are_items_enough(n: int, verdict: str) -> None:
    """The score interval of no flip in n reaches z²/(n + z²), z = 1.645: below .05 from 52 items on."""
    view = answered(questions(n), ())
    [found] = compared(view, view, asked_about(questions(n))).findings
    assert found.verdict == verdict
    assert words([found])[found.id] == ("retained" if verdict == "same" else "unclear")


def test_a_detectable_loss_inside_the_margin_is_called_that() -> None:
    items = questions(800)
    base, adapted = answered(items, ()), answered(items, range(12))  # .015 of 800, p = 2 · 2^-12
    [found] = compared(base, adapted, asked_about(items)).findings
    assert (found.verdict, words([found])[found.id]) == ("same", "detectable but within the margin")


def family(changes: dict[str, int], n: int = 800, floor: dict[str, float] | None = None) -> list[Finding]:
    """Findings of n items each, of which so many are lost (below 0: gained)."""
    asked = []
    for name, moved in changes.items():
        items = [Item(id=f"{name}{i}", cluster=f"{name}{i}", text=f"{name} {i}") for i in range(n)]
        right, wrong = np.zeros(n), (np.arange(n) < abs(moved)).astype(float)
        base, adapted = (right, wrong) if moved >= 0 else (wrong, right)
        asked.append(Question("forgetting", name, "error rate", base, adapted, items, 0.05, name, by=binary))
    return findings(asked, family="forgetting", floor=floor)


def test_what_is_detectable_is_so_in_its_family_and_above_the_floor() -> None:
    """Eight lost: p = 2 · 2^-8 = .0078; Holm over seven makes that .055, over six .047."""
    loss = "detectable but within the margin"
    rest = dict.fromkeys(("b", "c", "d", "e", "f"), 0)
    assert words(family({"a": 8, **rest}))["forgetting/a"] == loss
    assert words(family({"a": 8, **rest, "g": 0}))["forgetting/a"] == "retained"
    assert words(family({"a": 8}))["forgetting/a"] == loss
    assert words(family({"a": 8}, floor={"forgetting/a": 0.01}))["forgetting/a"] == "retained"
    assert words(family({"a": 8}, floor={"forgetting/a": 0.009}))["forgetting/a"] == loss
    [alone] = family({"a": 8})
    assert words([alone.model_copy(update={"group": "area"})])["forgetting/a"] == "retained"


def said_of(finding: Finding) -> str:
    return forgetting_sentence(finding, words([finding])[finding.id])


def test_the_floor_is_blamed_only_where_it_decides() -> None:
    [inside] = family({"a": 4}, floor={"forgetting/a": 0.06})
    assert (inside.verdict, inside.floored, inside.n_needed) == ("unclear", True, None)
    because = "null copies of the base differ by up to 0.06 (the floor), which is more than the margin of 0.05"
    assert because in said_of(inside)
    assert sentence(inside).startswith("Null copies of the base differ by up to 0.06")
    [few] = family({"a": 1}, n=12, floor={"forgetting/a": 0.2})
    assert (few.verdict, few.floored, few.n_needed) == ("unclear", False, None)
    for said in (said_of(few), sentence(few)):
        assert "12 clusters cannot decide at a margin of 0.05" in said
        assert "copies" not in said
        assert "would decide" not in said
    [wanting] = family({"a": 1}, n=12)
    assert wanting.n_needed is not None


def test_a_harm_that_fell_did_not_grow() -> None:
    [fell] = family({"a": -4})
    assert (fell.verdict, said_of(fell)) == ("same", "**Retained**: the harm changed by less than 0.05.")


# --- what only the base answers ---------------------------------------------------------------------------------------


def test_what_the_adapted_model_does_not_answer_is_no_silence() -> None:
    """A side without an answer is broken; two sides that answer, but not alike, cannot be compared."""
    items = questions(60)
    base, mute = answered(items, ()), replay(recorded_table({"log_likelihood": np.zeros(60)}, items), kind="causal")
    found = compared(base, mute, asked_about(items))
    assert (found.findings, found.broken) == ([], ["forgetting/multiple_choice"])
    assert "multiple" not in found.limits[0].split(":")[0]
    assert "the base answers, the adapted model does not: option_log_likelihood" in found.limits[0]
    neither = compared(mute, base, asked_about(items))
    assert (neither.broken, "was not measured" in neither.limits[0]) == ([], True)

    def unlike(one: Any, other: Any) -> list[Question]:
        if one is not other:
            raise NotMeasurable("next_tokens", "the two sides split the texts into other tokens")
        return multiple_choice(one, other, items, margin=0.05)

    apart = compared(base, answered(items, (1,)), [Probe("next tokens", unlike)])
    assert (apart.broken, "was not measured" in apart.limits[0]) == ([], True)


@pytest.fixture(scope="module")
def broken(tiny_causal: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A copy of a base, in which one token that only the general passages have is no number."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from audit.items.packs import read_choices, read_texts

    folder = tmp_path_factory.mktemp("broken")
    table = tiny.recipe(tiny_causal, kind="causal", audit={"forgetting": {"limit": 40, "floor": False}})
    table["audit"]["forgetting"]["strengths"] = [0.5]
    del table["adapt"]
    recipe = parse_recipe(table, "tiny.toml")
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_causal)
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_causal, dtype=torch.float32)
    kept: set[int] = set()
    for item in read_choices("shipped:choices", 40):
        for text in (item.prompt or "", *(item.options or ())):
            kept |= {*tokenizer(text)["input_ids"], *tokenizer(f"{item.prompt}{text}")["input_ids"]}
    for item in read_task(recipe.task, recipe.columns).test:
        for text in (item.text or "", recipe.task.asked("causal").replace("{text}", item.text or "")):
            kept |= set(tokenizer(text)["input_ids"])
    general = [token for item in read_texts("shipped:passages", 40) for token in tokenizer(item.text)["input_ids"]]
    with torch.no_grad():
        model.get_input_embeddings().weight[next(token for token in general if token not in kept)] = float("nan")
    model.save_pretrained(folder / "adapted")
    tokenizer.save_pretrained(folder / "adapted")
    return folder / "run", relay.audit_model(
        recipe, "# tiny", str(tiny_causal), str(folder / "adapted"), folder / "run"
    )[0]


def test_a_model_whose_answers_are_no_numbers_does_not_pass(
    broken: tuple[Path, Report], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, report = broken
    assert "forgetting/next_token" in report.broken
    assert not set(report.broken) & {one.id for one in report.findings}
    many = f"{len(report.broken)} probes that the base answers the adapted model does not"
    card = (folder / "card.md").read_text()
    assert f"; {many}.**" in card
    assert "The base answers what these probes ask, the adapted model does not:" in card
    for level in ("worse", "strict"):
        assert set(report.broken) <= set(_failed(report, level))
    capsys.readouterr()
    with pytest.raises(typer.Exit):
        _finish(report, folder, {}, "worse", False)
    printed = capsys.readouterr()
    assert many in printed.out
    assert "gate: forgetting/next_token is broken" in printed.err
    if report.curve:
        assert report.curve[-1].broken == report.broken
        assert not report.curve[-1].retained
        assert report.curve[0].broken == []
    data = json.loads((folder / "report.json").read_text())
    data["broken"].append(report.findings[0].id)
    with pytest.raises(ValueError, match="is called broken, but it was measured"):
        Report.model_validate(data)


# --- the card ---------------------------------------------------------------------------------------------------------


def forgetting_of(card: str) -> str:
    return card.split("## Forgetting")[1].split("## Negative transfer")[0]


def test_areas_and_the_task_s_own_texts_have_tables_of_their_own(floored: tuple[Path, Report]) -> None:
    groups = family({f"area {i}": 0 for i in range(9)} | {f"own {i}": 100 for i in range(8)})
    groups = [
        one.model_copy(update={"group": "in domain" if one.name.startswith("own") else one.name}) for one in groups
    ]
    card = forgetting_of(render(floored[1].model_copy(update={"findings": groups})))
    own, areas = card.split("### The task's own texts")[1].split("### Areas of the general items")
    assert (own.count("| lost |"), areas.count("| retained |")) == (8, 9)
    assert "same" not in areas
    for table in (own, areas):
        assert "Benjamini-Hochberg" in table


# --- the stage --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def floored(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("floored") / "run"
    return out, run(only_forgetting(tiny_encoder, strengths=[0.25, 0.5, 0.75]), out)


def test_every_change_stands_beside_what_null_copies_show(floored: tuple[Path, Report]) -> None:
    report = floored[1]
    for finding in report.findings:
        shown = {row["copies"]: row["floor"] for row in report.floor if row["finding"] == finding.id}
        if finding.group is None:
            assert tuple(shown) == COPIES
            assert shown["asked again"] == shown["zero adapter"] == 0.0
            assert finding.floor == max(shown.values())
    card = (floored[0] / "card.md").read_text()
    assert "### Beside what null copies of the base show" in card


def test_a_second_model_on_one_base_asks_the_base_nothing(
    floored: tuple[Path, Report], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter under every answer that is not remembered: the first audit of a base asks it, the second does not."""
    asked: Counter[tuple[str, str]] = Counter()
    answer = TextView._answer

    def counted(view: TextView, question: str, items: Sequence[Item]) -> Any:
        answered = answer(view, question, items)  # or it says that it cannot, which costs nothing
        asked[view.id, question] += len(items)
        return answered

    monkeypatch.setattr(TextView, "_answer", counted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number, rate in enumerate((1e-3, 2e-3)):
        asked.clear()
        table = only_forgetting(tiny_encoder)
        run({**table, "adapt": {**table["adapt"], "learning_rate": rate}}, tmp_path / f"run-{number}")
        base = {
            name: count for name, count in asked.items() if "@" not in name[0]
        }  # an adapted side is named with both
        assert bool(base) == (number == 0), base
        assert asked


def test_a_floor_is_remembered_whatever_the_margins_and_measured_again_where_it_is_torn(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def counted(*given: Any) -> Any:
        drawn.append("drawn")
        return null_copies(*given)

    stage = importlib.import_module("audit.steps.forgetting")  # the package's name is the function's
    monkeypatch.setattr(stage, "null_copies", counted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = run(only_forgetting(tiny_encoder), tmp_path / "first")
    again = run(only_forgetting(tiny_encoder, margins={"probe": 0.2}), tmp_path / "again")
    assert drawn == ["drawn"]
    assert again.floor == first.floor
    [kept] = (tmp_path / "cache").glob("transfer-audit/floors/*/*.json")
    kept.write_text(kept.read_text()[:40])
    assert run(only_forgetting(tiny_encoder), tmp_path / "torn").floor == first.floor
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("a file where a folder should be")
    assert run(only_forgetting(tiny_encoder), tmp_path / "unwritable").floor == first.floor
    assert len(drawn) == 3


def test_a_head_leaves_every_weight_and_every_layer_where_it_was(tiny_encoder: Path, tmp_path: Path) -> None:
    table = {**only_forgetting(tiny_encoder, floor=False), "adapt": {"method": "head"}}
    report = run(table, tmp_path / "head")
    assert report.weights
    assert all(one.frozen and one.relative == 0 for one in report.weights)
    assert {one.where for one in report.features} == {"general", "in domain"}
    for layer in report.features:
        assert (layer.cka, layer.cosine, layer.relative, layer.rotated) == (1.0, 1.0, 0.0, 0.0)
    assert all(one.change is not None and one.change.value == 0 for one in report.findings)
    assert "is unchanged, number for number." in (tmp_path / "head" / "card.md").read_text()


def test_the_curve_ends_at_the_report_and_at_the_base(floored: tuple[Path, Report]) -> None:
    report = floored[1]
    assert [one.alpha for one in report.curve] == [0, 0.25, 0.5, 0.75, 1]
    assert report.curve[-1].findings == report.findings
    assert all(one.change is not None and one.change.value == 0 for one in report.curve[0].findings)
    most = allowed(report.curve)
    assert most is None or all(one.retained for one in report.curve if one.alpha <= most)


def test_flips_that_the_findings_deny_are_refused(floored: tuple[Path, Report], tmp_path: Path) -> None:
    data = json.loads((floored[0] / "report.json").read_text())
    data["flips"][0]["lost"] += 1
    data["flips"][0]["neither"] -= 1
    (tmp_path / "report.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="its flips say"):
        load_report(tmp_path)


# --- images -----------------------------------------------------------------------------------------------------------


def pictures(folder: Path, n: int = 40) -> Path:
    """Noise around one of two colours, as a file of items."""
    from PIL import Image

    rng, rows = np.random.default_rng(0), []
    folder.mkdir()
    for number in range(n):
        colour = ((200, 60, 60), (60, 60, 200))[number % 2]
        pixels = np.clip(rng.normal(colour, 30, (32, 32, 3)), 0, 255)
        path = folder / f"{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        rows.append({"id": str(number), "image": str(path), "label": ("red", "blue")[number % 2]})
    items = folder / "items.jsonl"
    items.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return items


@pytest.mark.parametrize("kind", ["vision", "clip"])
def test_models_of_images_are_asked_what_they_forgot(kind: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel

    base = next(iter((families.VISION if kind == "vision" else families.CLIP).values()))(tmp_path / "base")
    model = AutoModel.from_pretrained(base)
    torch.manual_seed(0)
    for tensor in model.parameters():
        tensor.data.add_(0.5 * tensor.std(correction=0) * torch.randn_like(tensor))
    model.save_pretrained(tmp_path / "adapted")
    for file in base.iterdir():
        if not (tmp_path / "adapted" / file.name).exists():
            (tmp_path / "adapted" / file.name).write_bytes(file.read_bytes())
    prompts = {"red": "something red", "blue": "something blue"} if kind == "clip" else {}
    table: dict[str, Any] = only_forgetting(base, items=str(pictures(tmp_path / "images")), prompts=prompts)
    del table["base"], table["kind"], table["adapt"]
    recipe = parse_recipe(table, "tiny.toml")
    report, _ = relay.audit_model(recipe, "# tiny", str(base), str(tmp_path / "adapted"), tmp_path / "run")
    names = [one.name for one in report.findings]
    assert names[:3] == ["items/refit_probe", "items/frozen_probe", "neighbours"]
    assert ("zero_shot" in names) == (kind == "clip")
    assert report.task is None
    assert report.weights
    assert any("they ask texts, and this base reads images" in limit for limit in report.limits)
    same, _ = relay.audit_model(recipe, "# tiny", str(base), str(base), tmp_path / "same")
    assert all(one.change is not None and one.change.value == 0 for one in same.findings)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "rows", "message"),
    [
        ("choices", [{"prompt": "p", "options": [" a", " b"], "answer": 2}], "row 1"),
        ("choices", [{"id": "x", "prompt": "p", "options": [" a", " b"], "answer": 1}] * 2, "'x'"),
        ("items", [{"id": "x", "text": "one"}, {"id": "x", "text": "two"}], "repeats the id 'x'"),
    ],
)
def test_a_pack_that_cannot_be_used_is_one_line(
    key: str, rows: list[dict[str, Any]], message: str, tiny_causal: Path, tmp_path: Path
) -> None:
    pack = tmp_path / "pack.jsonl"
    pack.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    adapt = {"method": "peft", "config": {"r": 2}}
    table = tiny.recipe(tiny_causal, kind="causal", adapt=adapt, audit={"forgetting": {key: str(pack)}})
    with pytest.raises(InputError, match=message) as caught:
        run(table, tmp_path / "run")
    assert "pack.jsonl" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_text_base_is_not_shown_images(tiny_encoder: Path, tmp_path: Path) -> None:
    table = only_forgetting(tiny_encoder, items=str(pictures(tmp_path / "images", 4)))
    with pytest.raises(InputError, match="not a text"):
        run(table, tmp_path / "run")


def test_a_family_is_judged_together_and_what_is_in_domain_apart(floored: tuple[Path, Report]) -> None:
    families_named = {(one.group, one.family) for one in floored[1].findings}
    assert families_named == {(None, "forgetting"), ("in domain", "forgetting, in domain")}
    declared = [one for one in floored[1].findings if one.group is None]
    assert all(one.adjustment.startswith(f"max-T over {len(declared)} ") for one in declared)
    assert {one.verdict for one in declared} <= set(Verdict)
    assert findings([], family="none") == []
