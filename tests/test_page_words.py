"""What the page says of a report is what the card says: numbers, verdicts, reasons."""

from __future__ import annotations

import random

import numpy as np

from audit.finding import Estimate
from audit.publish.card import rendered as card
from audit.publish.card import undecided
from audit.publish.card.text import number as on_the_card
from audit.publish.page.text import number
from audit.publish.page.words import sentence, verdict_line, words
from audit.retention import words as said_by_the_audit
from tests.test_page import finding, position


def test_numbers_are_written_as_on_the_card() -> None:
    rng = np.random.default_rng(0)
    values = [*(rng.normal(0, 1, 200) * 10.0 ** rng.integers(-5, 3, 200)), 0.0, -0.0, 0.0005, -0.0004999, 1e9, 2.0]
    for value in map(float, values):
        one = Estimate(value=value, low=value - 0.01, high=value + 0.02)
        for estimate in (one, Estimate(value=value)):
            for signed in (False, True):
                assert number(estimate.model_dump(), signed) == on_the_card(estimate, signed)
    assert number(None) == on_the_card(None)


def test_verdicts_are_called_what_the_audit_calls_them() -> None:
    drawn = random.Random(1)
    called = set()
    for _ in range(60):
        some = [
            finding(
                f"{audit}/{n}",
                change=drawn.choice([0.0, 0.01, 0.03, 0.05, 0.2, -0.2]),
                p=drawn.choice([None, 1e-6, 0.004, 0.02, 0.3]),
                floor=drawn.choice([None, 0.005, 0.02]),
                group=drawn.choice([None, None, "slice"]),
            )
            for n, audit in enumerate(["forgetting"] * 6 + ["bias"])
        ]
        told = words([one.model_dump(mode="json") for one in some])
        assert {name: word for name, word in told.items() if name.startswith("forgetting")} == said_by_the_audit(some)
        assert told["bias/6" if "bias/6" in told else "bias/6/slice"] == some[6].verdict
        called |= set(told.values())
        some += [position(f"gap/{n}", drawn.choice([0.01, 0.5])) for n in range(drawn.choice([0, 0, 2]))]
        lines = [one.model_dump(mode="json") for one in some]
        assert verdict_line(lines) == card.verdict_line(some)
        assert verdict_line(lines, ["forgetting/x"]) == card.verdict_line(some, ["forgetting/x"])
    assert {"retained", "lost", "unclear", "detectable but within the margin"} <= called


def test_unclear_is_laid_at_the_floor_where_the_audit_does() -> None:
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(400):
        method = str(rng.choice(["tango score", "student-t over cluster means"]))
        audit = str(rng.choice(["bias", "forgetting"]))
        one = finding(
            f"{audit}/x", change=float(rng.normal(0, 0.08)), half=float(rng.choice([0.01, 0.05])), method=method,
            ideal=0 if rng.random() < 0.5 else None,
            before=float(rng.choice([0.0, 0.1, -0.1])),
            floor=float(rng.choice([0.001, 0.04, 0.09])), n_clusters=int(rng.choice([4, 12, 40])),
        )  # fmt: skip
        if one.verdict != "unclear":
            continue
        told, wanted = sentence(one.model_dump(mode="json")), undecided.undecided(one)
        assert ("(the floor)" in told) == ("(the floor)" in wanted), (told, wanted)
        assert ("null copies" in told) == ("null copies" in wanted) == (audit == "forgetting" and "(the floor)" in told)
        seen.add((audit, "(the floor)" in told))
    assert seen == {(audit, floored) for audit in ("bias", "forgetting") for floored in (True, False)}
