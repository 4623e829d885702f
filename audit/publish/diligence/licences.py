"""Whether a derivative may have the licence that was chosen for it, given those of its base and of its data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from audit.publish.diligence.terms import TABLE, Duty, Terms

__all__ = ["NOT_ADVICE", "ORDER", "Reading", "Ruling", "derivative", "hub_id", "recognised"]

NOT_ADVICE = "A reading of what the licences say, not legal advice."

Verdict = Literal["compatible", "conditions", "conflict", "unknown"]
ORDER: tuple[Verdict, ...] = ("conflict", "unknown", "conditions", "compatible")

SAME = {  # SPDX ids for which the Hub has another name
    "odbl-1.0": "odbl",
    "odc-by-1.0": "odc-by",
    "pddl-1.0": "pddl",
    "c-uda-1.0": "c-uda",
    "openrail-m": "openrail",
    "creativeml-openrail++-m": "openrail++",
    "bigscience-bloom-rail": "bigscience-bloom-rail-1.0",
}

BEGINNING = 1_500  # characters in which a text must say what it is: further down it speaks of others
TEXTS = {  # what a licence file says of itself, the more special first
    "llama4": r"llama 4 community license",
    "llama3.3": r"llama 3\.3 community license",
    "llama3.2": r"llama 3\.2 community license",
    "llama3.1": r"llama 3\.1 community license",
    "llama3": r"llama 3 community license",
    "llama2": r"llama 2 community license",
    "gemma": r"gemma terms of use",
    "creativeml-openrail-m": r"creativeml open rail-m",
    "openrail++": r"open ?rail\+\+-m",
    "bigscience-bloom-rail-1.0": r"bigscience rail license v1\.0|bigscience bloom rail 1\.0",
    "bigscience-openrail-m": r"bigscience open ?rail-m",
    "bigcode-openrail-m": r"bigcode open ?rail-m",
    "agpl-3.0": r"gnu affero general public license version 3",
    "lgpl-3.0": r"gnu lesser general public license version 3",
    "lgpl-2.1": r"gnu lesser general public license version 2\.1",
    "gpl-3.0": r"gnu general public license version 3",
    "gpl-2.0": r"gnu general public license version 2",
    "mpl-2.0": r"mozilla public license,? (?:version|v\.) ?2\.0",
    "ecl-2.0": r"educational community license,? version 2\.0",
    "apache-2.0": r"apache license,? version 2\.0",
    "cc-by-nc-nd-4.0": r"attribution-noncommercial-noderivatives 4\.0",
    "cc-by-nc-sa-4.0": r"attribution-noncommercial-sharealike 4\.0",
    "cc-by-nc-4.0": r"attribution-noncommercial 4\.0",
    "cc-by-nd-4.0": r"attribution-noderivatives 4\.0",
    "cc-by-sa-4.0": r"attribution-sharealike 4\.0",
    "cc-by-4.0": r"attribution 4\.0 international",
    "cc0-1.0": r"cc0 1\.0 universal",
    "unlicense": r"this is free and unencumbered software released into the public domain",
    "ncsa": r"university of illinois/?ncsa open source license",
    "mit-0": r"mit no attribution|mit-0",
    "mit": r"permission is hereby granted, free of charge, to any person obtaining a copy",
    "isc": r"permission to use, copy, modify, and(?:/or)? distribute this software for any purpose with or without fee",
    "bsd-3-clause-clear": r"the clear bsd license",
    "bsd-3-clause": r"redistributions of source code must retain .* neither the name",
    "bsd-2-clause": r"redistributions of source code must retain",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reading(_Frozen):
    """What one licence says to the choice; ``source`` names the section that decides, where one does."""

    of: str
    license: str | None
    outcome: Verdict
    said: str
    source: str = ""


class Ruling(_Frozen):
    """What all of them say together: the worst of the readings, and every duty that the derivative carries on."""

    outcome: Verdict
    said: str
    readings: tuple[Reading, ...]
    duties: tuple[Duty, ...] = ()


def hub_id(name: str | None) -> str | None:
    """Return the Hub's id of a licence, whether the Hub or SPDX named it; what the table lacks comes back in small.

    Examples
    --------
    >>> hub_id("Apache-2.0"), hub_id("GPL-3.0-only"), hub_id("ODbL-1.0"), hub_id(" "), hub_id("My-Own")
    ('apache-2.0', 'gpl-3.0', 'odbl', None, 'my-own')
    """
    known = (name or "").strip().lower()
    known = SAME.get(known, known)
    bare = re.sub(r"-only$|-or-later$", "", known)
    return (bare if known not in TABLE and bare in TABLE else known) or None


def recognised(text: str) -> str | None:
    r"""Return the id of the licence whose words a text holds, ``None`` where they are none of those known here.

    Examples
    --------
    >>> recognised("                  Apache License\n            Version 2.0, January 2004")
    'apache-2.0'
    """
    words = " ".join(re.sub(r"[*#_“”\"']", "", text).lower().split())[:20_000]
    found = [(at.start(), id) for id, pattern in TEXTS.items() if (at := re.search(pattern, words))]
    begins = [one for one in found if one[0] < BEGINNING]
    return min(begins, key=lambda one: one[0])[1] if begins else None


def derivative(base: str | None, data: Sequence[str | None], chosen: str | None) -> Ruling:
    """Read what the licences of base and data say to the one that a derivative is to have. Not legal advice.

    Parameters
    ----------
    base : str or None
        Id of the base's licence, the Hub's or SPDX's; ``None`` where it names none.
    data : sequence of (str or None)
        Those of the data sets that it was adapted on.
    chosen : str or None
        That of the derivative.

    Returns
    -------
    Ruling
        The adapted model is a derivative of its base. Whether it is one of its data is not settled: what would be a
        conflict with the base is ``unknown`` with a data set, unless its licence lets results go free.

    Examples
    --------
    >>> derivative("gpl-2.0", ["mit"], "apache-2.0").said
    'conflict: gpl-2.0 keeps derivatives under gpl-2.0, not apache-2.0 (GPL-2.0, section 2(b))'
    >>> [one.what for one in derivative("mit", [], "apache-2.0").duties]
    ['keep its copyright notice and its text']
    """
    wanted = hub_id(chosen)
    readings = [_reading("base", hub_id(base), wanted)]
    for name in data:
        readings.append(_softened(_reading("data", hub_id(name), wanted)))
    if wanted is None or wanted not in TABLE or TABLE[wanted].unsettled:
        readings.append(_unsettled("derivative", wanted))
    outcome = min((one.outcome for one in readings), key=ORDER.index)
    decisive = next(one for one in readings if one.outcome == outcome)
    duties = [duty for one in readings if one.of != "derivative" for duty in _duties(one)]
    said = decisive.said if outcome != "conditions" else _listed(duties)
    return Ruling(
        outcome=outcome,
        said=f"{outcome}: {said}" + (f" ({decisive.source})" if decisive.source and outcome != "conditions" else ""),
        readings=tuple(readings),
        duties=tuple(dict.fromkeys(duties)),
    )


def _terms(id: str | None) -> Terms:
    return TABLE.get(id or "unknown", Terms(id or "", unsettled="is not in the table; read it"))


def _duties(reading: Reading) -> tuple[Duty, ...]:
    """List what a work asks of a derivative that it allows, its licence included."""
    terms = _terms(reading.license)
    if reading.outcome != "conditions" or (reading.of == "data" and terms.results):
        return terms.duties
    same = (Duty(f"publish under {_either(terms.same)}", terms.share_alike),) if terms.share_alike else ()
    use = (Duty("no commercial use", terms.non_commercial),) if terms.non_commercial else ()
    return (*terms.duties, *same, *use)


def _listed(duties: Sequence[Duty]) -> str:
    return "; ".join(dict.fromkeys(f"{one.what} ({one.source})" for one in duties))


def _unsettled(of: str, id: str | None) -> Reading:
    said = f"the {of} names no licence" if id is None else f"{id} {_terms(id).unsettled}"
    return Reading(of=of, license=id, outcome="unknown", said=said)


def _reading(of: str, id: str | None, wanted: str | None) -> Reading:
    """Read one licence as if the derivative were one of this work."""
    terms, choice = _terms(id), _terms(wanted)
    if id is None or terms.unsettled:
        return _unsettled(of, id)

    def read(outcome: Verdict, said: str, source: str = "") -> Reading:
        return Reading(of=of, license=id, outcome=outcome, said=said, source=source)

    if of == "data" and terms.results:
        return read("conditions" if terms.duties else "compatible", f"{id} lets results go free", terms.results)
    if terms.no_derivatives:
        return read("conflict", f"{id} does not let derivatives be published", terms.no_derivatives)
    open_choice = wanted is None or bool(choice.unsettled)
    other = "" if open_choice or wanted == id else str(wanted)
    if other and terms.share_alike and wanted not in terms.same:
        return read("conflict", f"{id} keeps derivatives under {_either(terms.same)}, not {other}", terms.share_alike)
    if other and terms.non_commercial and not choice.non_commercial:
        return read("conflict", f"{id} is not for commercial use, which {other} allows", terms.non_commercial)
    if other and terms.restricted and not choice.restricted:
        return read("conflict", f"{other} does not hand on the restrictions of {id}", terms.restricted)
    if other and terms.refused and terms.refused[0] == other:
        return read("conflict", f"{other} does not take up what is under {id}", terms.refused[1])
    if other and terms.restricted:
        return read("unknown", f"whether {other} hands on all restrictions of {id} must be read", terms.restricted)
    asks = terms.duties or terms.share_alike or terms.non_commercial or terms.restricted
    if not asks:
        return read("compatible", f"{id} asks for nothing")
    source = terms.share_alike or terms.non_commercial or terms.restricted
    return read("conditions", f"{id} sets conditions", source or terms.duties[0].source)


def _either(ids: frozenset[str]) -> str:
    return " or ".join(sorted(ids))


def _softened(reading: Reading) -> Reading:
    """Weaken what rests on a model being a derivative of its data, which is not settled."""
    if reading.outcome != "conflict":
        return reading
    said = f"{reading.said}; whether a model is a derivative of its data is not settled"
    return reading.model_copy(update={"outcome": "unknown", "said": said})
