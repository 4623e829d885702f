"""Diligence about a base: what it is, where it comes from, and whether what is made of it may be published."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import JsonValue

from audit.diligence import Check, Outcome
from audit.publish.diligence.contents import CONTENTS
from audit.publish.diligence.facts import Link, Token, link, look, look_up
from audit.publish.diligence.licences import ORDER, derivative
from audit.publish.diligence.papers import PAPERS, answer
from audit.publish.diligence.pickles import scan

__all__ = ["diligence", "licence_check"]

LOCAL = "a folder on somebody's machine: nobody can tell which model that is"
LINKS = 16  # models that are asked for on the way to the root
OUTCOMES: dict[str, Outcome] = {"compatible": "pass", "conditions": "warn", "conflict": "fail", "unknown": "unknown"}

Ask = Callable[[str], Link]


def diligence(source: str, revision: str | None, *, base: str | None = None, token: Token = None) -> list[Check]:
    """Look up what there is to know about a model before it is built on.

    Parameters
    ----------
    source : str
        Hub id, folder, GGUF file or ``package:MODULE/PATH``. Of a folder less is known, and it is scanned for pickles.
    revision : str or None
        Of a Hub id.
    base : str, optional
        Whom the recipe names as the base of ``source``, where that is itself an adapted model.
    token : str or bool, optional
        As `huggingface_hub.HfApi` takes it; it stands in no check.

    Returns
    -------
    list of Check
        Always the same questions. What could not be looked up is ``unknown`` and says why: without a Hub nearly all.
    """
    facts = look(source, revision, token)
    asked: dict[str, Link] = {facts.id: link(facts)}

    def ask(name: str) -> Link:
        if name not in asked:
            asked[name] = Link(_shown(name), trouble=LOCAL) if _is_path(name) else look_up(name, token)
        return asked[name]

    checks = [question(facts) for question in (*PAPERS, *CONTENTS)]
    if facts.folder is not None:
        checks.append(scan(facts.folder))
    first = asked[facts.id]
    return [*checks, _named(first, base, ask), *_chain(first, ask)]


def licence_check(base: str | None, data: Sequence[str | None], chosen: str | None) -> Check:
    """Read what the licences of base and data say to the one chosen for the derivative; see `licences.derivative`."""
    ruling = derivative(base, data, chosen)
    evidence: dict[str, JsonValue] = ruling.model_dump(mode="json")
    return Check(name="derivative", outcome=OUTCOMES[ruling.outcome], said=ruling.said, evidence=evidence)


# --- whom it names ----------------------------------------------------------------------------------------------------


def _is_path(name: str) -> bool:
    return (
        name.startswith((".", "/", "~"))
        or "\\" in name
        or name.count("/") > 1
        or name[1:2] == ":"
        or name.startswith("package:")
    )


def _shown(name: str) -> str:
    """Show a name; of a path only its end, for the rest is about somebody's machine."""
    return f".../{name.replace(chr(92), '/').rstrip('/').rpartition('/')[2]}" if _is_path(name) else name


def _named(first: Link, base: str | None, ask: Ask) -> Check:
    """Ask whether card, adapter config and recipe name the same base, and in a way that others can follow."""
    said: dict[str, tuple[str, ...]] = {
        "the card": first.card_names,
        "adapter_config.json": (first.adapter_names,) if first.adapter_names else (),
        "the recipe": (base,) if base else (),
    }
    claims = {who: names for who, names in said.items() if names}
    evidence: dict[str, JsonValue] = {who: [_shown(one) for one in names] for who, names in claims.items()}
    if first.trouble and not first.bases:
        return answer("base named", "unknown", first.trouble, **evidence)
    if not claims:
        return answer("base named", "pass", "it names no base", **evidence)
    local = [(who, one) for who, names in claims.items() for one in names if who != "the recipe" and _is_path(one)]
    if local:
        who, one = local[0]
        return answer("base named", "fail", f"{who} names {_shown(one)!r}, {LOCAL}", **evidence)
    called = {who: {ask(one).id for one in names} for who, names in claims.items()}  # by their present names
    if not set.intersection(*called.values()):
        each = ", ".join(f"{who} says {_shown(names[0])!r}" for who, names in claims.items())
        unsure = [up for names in claims.values() for up in map(ask, names) if up.trouble and not up.absent]
        if unsure:  # one of them may be the other under an older name
            return answer("base named", "unknown", f"{each}; {unsure[0].id!r}: {unsure[0].trouble}", **evidence)
        return answer("base named", "fail", f"its base is disputed: {each}", **evidence)
    bare = next((one for names in claims.values() for one in names if "/" not in one), None)
    if bare:
        return answer("base named", "warn", f"it names {bare!r} without an owner", **evidence)
    name = _shown(next(iter(claims.values()))[0])
    who = " and ".join(claims) + (" name" if len(claims) > 1 else " names")
    return answer("base named", "pass", f"{who} {name!r}", **evidence)


# --- the chain --------------------------------------------------------------------------------------------------------


def _chain(first: Link, ask: Ask) -> list[Check]:
    """Walk up the bases to those that name none, and read on the way what each licence lets the next one have."""
    waiting: list[tuple[Link, tuple[str, ...]]] = [(first, (first.id,))]
    walked: dict[str, Link] = {}
    edges: list[tuple[Link, Link]] = []
    circle, lost = "", ""
    while waiting:
        here, path = waiting.pop(0)
        if here.id in walked:
            continue
        if len(walked) == LINKS:
            lost = lost or f"it goes on after {LINKS} models"
            break
        walked[here.id] = here
        if here.trouble and not here.bases:
            lost = lost or f"{here.id!r}: {here.trouble}"
        for name in here.bases:
            up = ask(name)
            edges.append((here, up))
            if up.id in path:
                circle = circle or " -> ".join((*path[path.index(up.id) :], up.id))
            else:
                waiting.append((up, (*path, up.id)))
    evidence: dict[str, JsonValue] = {"links": [_link(one) for one in walked.values()]}
    return [_walked(circle, lost, edges, evidence), _inherited(edges, lost)]


def _link(one: Link) -> dict[str, JsonValue]:
    return {
        "id": one.id,
        "license": one.license,
        "card": [_shown(name) for name in one.card_names],
        "adapter_config": _shown(one.adapter_names) if one.adapter_names else None,
        "trouble": one.trouble,
    }


def _walked(circle: str, lost: str, edges: Sequence[tuple[Link, Link]], evidence: dict[str, JsonValue]) -> Check:
    if circle:
        return answer("chain", "fail", f"its bases go in a circle: {circle}", **evidence)
    if lost:
        return answer("chain", "unknown", f"the chain breaks off: {lost}", **evidence)
    if not edges:
        return answer("chain", "pass", "it names no base: a root, as far as it says", **evidence)
    steps = ", ".join(f"{low.id!r} from {up.id!r}" for low, up in edges)
    return answer("chain", "pass", f"{steps}, which names no further base", **evidence)


def _inherited(edges: Sequence[tuple[Link, Link]], lost: str) -> Check:
    """Ask whether each model of the chain may have the licence that it says it has."""
    rulings = [(low, up, derivative(up.license, (), low.license)) for low, up in edges]
    evidence: dict[str, JsonValue] = {
        "rulings": [
            {
                "of": low.id,
                "base": up.id,
                "said": one.said,
            }
            for low, up, one in rulings
        ]
    }
    if rulings:
        low, up, worst = min(rulings, key=lambda one: ORDER.index(one[2].outcome))
        if worst.outcome in ("conflict", "unknown") or not lost:
            said = f"{low.id!r} from {up.id!r}: {worst.said}"
            return answer("inherited licence", OUTCOMES[worst.outcome], said, **evidence)
    if lost:
        return answer("inherited licence", "unknown", f"the chain breaks off: {lost}", **evidence)
    return answer("inherited licence", "pass", "it names no base whose licence it would carry on", **evidence)
