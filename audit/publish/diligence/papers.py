"""What a model's own papers say: whether it is there, its licence, its successor, its training data."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import JsonValue

from audit.diligence import Check, Outcome
from audit.publish.diligence.facts import READ, Facts, names
from audit.publish.diligence.licences import hub_id, recognised
from audit.publish.diligence.terms import TABLE

__all__ = ["PAPERS", "answer"]

BLANK = re.compile(r"more information needed", re.IGNORECASE)
ABOUT_DATA = re.compile(
    r"^#{1,6}[^\n]*\b(?:training|pre-?training|train)\b[^\n]*\bdata[^\n]*$(.*?)(?=^#|\Z)", re.I | re.M | re.S
)


def answer(name: str, outcome: Outcome, said: str, **evidence: JsonValue) -> Check:
    """Write down one answer."""
    return Check(name=name, outcome=outcome, said=said, evidence=evidence)


def found(facts: Facts) -> Check:
    """Ask whether it is there, under this name, for everybody."""
    if facts.absent:
        return answer("found", "fail", facts.absent)
    if facts.trouble:
        return answer("found", "unknown", facts.trouble)
    if facts.hub is None:
        return answer("found", "pass", f"a folder of {len(facts.files)} files", files=len(facts.files))
    state: dict[str, JsonValue] = {name: facts.hub[name] for name in ("private", "disabled")}
    where: dict[str, JsonValue] = {"id": facts.id, "revision": facts.revision, **state}
    if facts.hub["disabled"]:
        return answer("found", "fail", f"{facts.id!r} is disabled on the Hub", **where)
    if facts.asked != facts.id:
        said = f"{facts.asked!r} is now called {facts.id!r}: name it so"
        return answer("found", "warn", said, asked=facts.asked, **where)
    if facts.hub["private"]:
        return answer("found", "warn", f"{facts.id!r} is private: nobody else can pull it", **where)
    return answer("found", "pass", f"{facts.id!r} at {facts.revision}", **where)


def licence(facts: Facts) -> Check:
    """Ask which licence it has, and whether card and LICENSE file say the same."""
    texts = {name: recognised(text) for name, text in facts.texts.items() if name not in READ}
    unread = [name for name in facts.unread if name not in READ]
    card = facts.card or {}
    several = names(card.get("license"))
    tag = hub_id(", ".join(several))
    evidence: dict[str, JsonValue] = {
        "card": list(several),
        "license_name": _text(card.get("license_name")),
        "license_link": _text(card.get("license_link")),
        "files": dict(texts),
        "beside": [name for name in facts.files if re.match(r"(?i)(notice|use_policy)", name)],
    }

    def say(outcome: Outcome, said: str) -> Check:
        return answer("licence", outcome, said, **evidence)

    if not tag:
        read = next((f"; {name} reads as {id}" for name, id in texts.items() if id), "")
        return say("unknown", ("its card names none" if facts.card is not None else _cardless(facts)) + read)
    if tag not in TABLE or TABLE[tag].unsettled:
        return say("unknown", f"{tag!r} {TABLE[tag].unsettled if tag in TABLE else 'is not in the table; read it'}")
    other = next((name for name, id in texts.items() if id and not _same(tag, id)), None)
    if other:
        return say("fail", f"its card says {tag!r}, {other} reads as {texts[other]!r}: ask its authors")
    if unread:
        return say("unknown", f"its card says {tag!r}; {unread[0]}: {facts.unread[unread[0]]}")
    strange = next((name for name, id in texts.items() if id is None), None)
    if strange:
        return say("warn", f"its card says {tag!r}; {strange} is none of the texts known here: compare them")
    return say("pass", f"{tag} by its card" + (f" and {next(iter(texts))}" if texts else ", without a LICENSE file"))


def _same(tag: str, id: str) -> bool:
    return tag == id or (tag == "bsd" and id.startswith("bsd-")) or tag == f"{id}-or-later"


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _cardless(facts: Facts) -> str:
    return facts.absent or facts.trouble or facts.unread.get("README.md") or "it has no card"


def gated(facts: Facts) -> Check:
    """Ask whether its terms must be accepted first."""
    if facts.hub is None or facts.hub["gated"] is None:
        return answer("gated", "unknown", facts.absent or facts.trouble or "only the Hub says so")
    how = facts.hub["gated"]
    refused = next((why for why in facts.unread.values() if "gated" in why), "")
    if how is False:
        return answer("gated", "pass", "open to everybody", gated=False)
    said = f"gated ({how}): whoever pulls it accepts its terms first" + (f"; {refused}" if refused else "")
    return answer("gated", "warn", said, gated=how, readable=not refused)


def activity(facts: Facts) -> Check:
    """Ask when it last changed and how much it is used: facts, no judgement."""
    if facts.hub is None or facts.hub["last_modified"] is None:
        return answer("activity", "unknown", facts.absent or facts.trouble or "only the Hub keeps count")
    seen: dict[str, JsonValue] = {name: facts.hub[name] for name in ("last_modified", "downloads", "likes")}
    said = f"last changed on {facts.hub['last_modified'][:10]}, {facts.hub['downloads']} downloads in 30 days"
    return answer("activity", "pass", said, **seen)


def successor(facts: Facts) -> Check:
    """Ask whether its authors name a newer version."""
    if facts.card is None:
        return answer("successor", "unknown", _cardless(facts))
    newer = _text(facts.card.get("new_version"))
    if newer:
        return answer("successor", "warn", f"its authors name a newer version: {newer!r}", new_version=newer)
    return answer("successor", "pass", "its card names no newer version", new_version=None)


def training_data(facts: Facts) -> Check:
    """Ask whether its card says what it was trained on."""
    text = facts.texts.get("README.md")
    if facts.card is None:
        return answer("training data", "unknown", _cardless(facts))
    listed = list(names(facts.card.get("datasets")))
    sections = [one.strip() for one in ABOUT_DATA.findall(text or "")]
    told = [one for one in sections if one and not BLANK.search(one)]
    evidence: dict[str, JsonValue] = {"datasets": [*listed], "sections": len(sections), "filled": len(told)}
    if listed:
        return answer("training data", "pass", f"its card names {listed[0]!r}{_more(listed)}", **evidence)
    if told:
        return answer("training data", "pass", "its card has a section on it", **evidence)
    if text is None:
        return answer("training data", "unknown", facts.unread.get("README.md", "its card was not read"), **evidence)
    return answer("training data", "warn", "its card does not say what it was trained on", **evidence)


def _more(listed: Sequence[str]) -> str:
    return f" and {len(listed) - 1} more" if len(listed) > 1 else ""


PAPERS = (found, licence, gated, activity, successor, training_data)
