"""What licences ask of whoever publishes an adapted model: the table, as data; `licences` reads it.

Ids are the Hub's (``repositories-licenses`` of its documentation): SPDX's in small letters, where SPDX has one.
A source names the licence's own section; older Creative Commons licences number theirs differently by variant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["TABLE", "Duty", "Terms"]


@dataclass(frozen=True)
class Duty:
    """What must be done, and the section that asks for it."""

    what: str
    source: str


@dataclass(frozen=True)
class Terms:
    """A licence as far as a derivative is concerned; each of the last six is the section that says so.

    Attributes
    ----------
    title
        Its name.
    duties
        What a derivative carries on.
    same
        Licences that a derivative may have, where it may not have any.
    refused
        Licences that a derivative may not have, though they forbid nothing of the kind themselves.
    share_alike, restricted, non_commercial, no_derivatives
        A derivative stays under ``same``; hands on restrictions of use; is not for commerce; may not be published.
    results
        What is computed from such data is free of its terms but for the duties.
    unsettled
        Why nothing can be said.
    """

    title: str
    duties: tuple[Duty, ...] = ()
    same: frozenset[str] = frozenset()
    refused: tuple[str, str] | None = None
    share_alike: str = ""
    restricted: str = ""
    non_commercial: str = ""
    no_derivatives: str = ""
    results: str = ""
    unsettled: str = ""


def _keeps(title: str, source: str, what: str = "keep its copyright notice and its text") -> Terms:
    return Terms(title, (Duty(what, f"{title}, {source}"),))


def _alike(title: str, source: str, same: str, *duties: Duty) -> Terms:
    return Terms(title, duties, frozenset(same.split()), share_alike=f"{title}, {source}")


def _commons(code: str, version: str) -> Terms:
    """Creative Commons: four elements in two numberings."""
    title = f"CC {code.upper()} {version}"
    new = version == "4.0"
    later = [one for one in ("2.0", "3.0", "4.0") if one >= version]
    same = {f"cc-{code}-{one}" for one in later} | ({"gpl-3.0"} if (code, version) == ("by-sa", "4.0") else set())
    elements = code.split("-")
    credit = "credit the author, link the licence and say that it was changed"
    return Terms(
        title,
        (Duty(credit, f"{title}, section {'3(a)' if new else '4'}"),),
        same=frozenset(same) if "sa" in elements else frozenset(),
        share_alike=f"{title}, section {'3(b)' if new else '4'}" if "sa" in elements else "",
        non_commercial=f"{title}, section {'2(a)(1)' if new else '4'}" if "nc" in elements else "",
        no_derivatives=f"{title}, section {'2(a)(1)(B)' if new else '3'}" if "nd" in elements else "",
    )


def _rail(title: str, non_commercial: str = "") -> Terms:
    return Terms(
        title,
        (
            Duty("give a copy of the licence, keep notices and mark changed files", f"{title}, paragraph 4"),
            Duty("hand on its restrictions of use in the derivative's own terms", f"{title}, paragraphs 4 and 5"),
        ),
        restricted=f"{title}, paragraphs 4(a) and 5",
        non_commercial=non_commercial,
    )


def _llama(version: str, built: str = "", named: str = "", own: bool = False) -> Terms:
    title = f"Llama {version} Community License"
    where = f"{title}, section 1.b"
    shown = (Duty(f'show "Built with {built}" prominently', f"{where}.i"),) if built else ()
    begins = (Duty(f'begin the model\'s name with "{named}"', f"{where}.i"),) if named else ()
    only = (Duty("improve no other language model with it or its outputs", f"{where}.v"),) if own else ()
    return Terms(
        title,
        (
            Duty("give a copy of the agreement", f"{where}.i"),
            *shown,
            *begins,
            Duty('keep its attribution in a text file named "Notice"', f"{where}.iii"),
            Duty("follow the Acceptable Use Policy", f"{where}.iv"),
            *only,
            Duty("ask Meta first above 700 million monthly users", f"{title}, section 2"),
        ),
        restricted=f"{where}.i and 1.b.iv",
    )


def _data(title: str, *duties: Duty, same: str = "") -> Terms:
    alike = f"{title}, its terms on sharing changed data" if same else ""
    results = f"{title}, its terms on results"
    return Terms(title, duties, frozenset(same.split()), share_alike=alike, results=results)


def _family(ids: Iterable[str], why: str) -> dict[str, Terms]:
    return {one: Terms(one, unsettled=why) for one in ids}


GPL3 = "gpl-3.0 agpl-3.0"
LGPL3 = f"lgpl-3.0 {GPL3}"
RESEARCH = "its grant, for research that is not commercial"
NOTICE = Duty("give a copy of the licence, keep notices and NOTICE, and mark changed files", "Apache-2.0, section 4")
DATABASE = "say which database it was made from"

TABLE: dict[str, Terms] = {
    "apache-2.0": Terms("Apache-2.0", (NOTICE,), refused=("gpl-2.0", "Apache-2.0, section 3; GPL-2.0, section 6")),
    "ecl-2.0": _keeps("ECL-2.0", "section 4", NOTICE.what),
    "mit": _keeps("MIT", "second paragraph"),
    "isc": _keeps("ISC", "first paragraph"),
    "bsd": _keeps("BSD", "clauses 1 and 2"),
    "bsd-2-clause": _keeps("BSD-2-Clause", "clauses 1 and 2"),
    "bsd-3-clause": _keeps("BSD-3-Clause", "clauses 1 to 3"),
    "bsd-3-clause-clear": _keeps("BSD-3-Clause-Clear", "clauses 1 to 3"),
    "ncsa": _keeps("NCSA", "conditions 1 to 3"),
    "postgresql": _keeps("PostgreSQL", "first paragraph"),
    "bsl-1.0": _keeps("BSL-1.0", "second paragraph"),
    "zlib": _keeps("zlib", "clauses 1 to 3", "mark what was changed and keep its notice"),
    "afl-3.0": _keeps("AFL-3.0", "section 6", "keep its notices and say that it was changed"),
    "openmdw-1.0": _keeps("OpenMDW-1.0", "its condition on distribution", "give a copy of it and keep its notices"),
    "etalab-2.0": _keeps("Etalab 2.0", "attribution", "name the source and the date of its last change"),
    **{
        one: Terms(one.upper())
        for one in ("cc0-1.0", "unlicense", "wtfpl", "pddl", "0bsd", "mit-0")  # ask for nothing
    },
    **{f"cc-by-{version}": _commons("by", version) for version in ("2.0", "2.5", "3.0", "4.0")},
    **{f"cc-by-sa-{version}": _commons("by-sa", version) for version in ("3.0", "4.0")},
    **{f"cc-by-nc-{version}": _commons("by-nc", version) for version in ("2.0", "3.0", "4.0")},
    **{f"cc-by-nc-sa-{version}": _commons("by-nc-sa", version) for version in ("2.0", "3.0", "4.0")},
    **{f"cc-by-nc-nd-{version}": _commons("by-nc-nd", version) for version in ("3.0", "4.0")},
    "cc-by-nd-4.0": _commons("by-nd", "4.0"),
    "gpl-2.0": _alike("GPL-2.0", "section 2(b)", "gpl-2.0", Duty("give the source", "GPL-2.0, section 3")),
    "gpl-2.0-or-later": _alike(
        "GPL-2.0",
        "sections 2(b) and 9",
        f"gpl-2.0 gpl-2.0-or-later {GPL3}",
        Duty("give the source", "GPL-2.0, section 3"),
    ),
    "gpl-3.0": _alike("GPL-3.0", "section 5(c)", GPL3, Duty("give the source", "GPL-3.0, section 6")),
    "agpl-3.0": _alike(
        "AGPL-3.0",
        "section 5(c)",
        "agpl-3.0",
        Duty("give the source, to users over a network too", "AGPL-3.0, sections 6 and 13"),
    ),
    "lgpl-2.1": _alike("LGPL-2.1", "sections 2 and 3", f"lgpl-2.1 gpl-2.0 {GPL3}"),
    "lgpl-2.1-or-later": _alike("LGPL-2.1", "sections 2, 3 and 13", f"lgpl-2.1 lgpl-2.1-or-later {LGPL3} gpl-2.0"),
    "lgpl-3.0": _alike("LGPL-3.0", "section 2", LGPL3),
    "lgpl-lr": _alike("LGPL-LR", "section 2", "lgpl-lr"),
    "mpl-2.0": _alike("MPL-2.0", "sections 3.1 and 3.3", f"mpl-2.0 gpl-2.0 lgpl-2.1 {LGPL3}"),
    "epl-1.0": _alike("EPL-1.0", "section 3", "epl-1.0 epl-2.0"),
    "epl-2.0": _alike("EPL-2.0", "section 3", "epl-2.0"),
    "eupl-1.1": _alike("EUPL-1.1", "section 5 and appendix", "eupl-1.1 eupl-1.2 gpl-2.0 osl-3.0 epl-1.0"),
    "eupl-1.2": _alike(
        "EUPL-1.2",
        "section 5 and appendix",
        f"eupl-1.2 gpl-2.0 lgpl-2.1 {LGPL3} osl-3.0 epl-1.0 mpl-2.0",
    ),
    "osl-3.0": _alike("OSL-3.0", "section 1(c)", "osl-3.0"),
    "ofl-1.1": _alike("OFL-1.1", "condition 5", "ofl-1.1"),
    "cdla-permissive-1.0": _data("CDLA-Permissive-1.0"),
    "cdla-permissive-2.0": _data("CDLA-Permissive-2.0"),
    "cdla-sharing-1.0": _data("CDLA-Sharing-1.0", same="cdla-sharing-1.0"),
    "c-uda": _data("C-UDA"),
    "odc-by": _data("ODC-By", Duty(DATABASE, "ODC-By, section 4.3")),
    "odbl": _data("ODbL", Duty(DATABASE, "ODbL, section 4.3"), same="odbl"),
    "bigscience-openrail-m": _rail("BigScience OpenRAIL-M"),
    "bigscience-bloom-rail-1.0": _rail("BigScience BLOOM RAIL 1.0"),
    "bigcode-openrail-m": _rail("BigCode OpenRAIL-M v1"),
    "creativeml-openrail-m": _rail("CreativeML OpenRAIL-M"),
    "openrail++": _rail("CreativeML OpenRAIL++-M"),
    "deepfloyd-if-license": _rail("DeepFloyd IF License", f"DeepFloyd IF License, {RESEARCH}"),
    "llama2": _llama("2", own=True),
    "llama3": _llama("3", "Meta Llama 3", "Llama 3", own=True),
    "llama3.1": _llama("3.1", "Llama", "Llama"),
    "llama3.2": _llama("3.2", "Llama", "Llama"),
    "llama3.3": _llama("3.3", "Llama", "Llama"),
    "llama4": _llama("4", "Llama", "Llama"),
    "gemma": Terms(
        "Gemma Terms of Use",
        (
            Duty("hand on its restrictions of use as an enforceable term", "Gemma Terms of Use, sections 3.1 and 3.2"),
            Duty("give a copy of the agreement and mark changed files", "Gemma Terms of Use, section 3.1"),
            Duty('keep its attribution in a text file named "Notice"', "Gemma Terms of Use, section 3.1"),
        ),
        restricted="Gemma Terms of Use, section 3.1",
    ),
    "apple-amlr": Terms("Apple ML Research Model License", non_commercial=f"Apple AMLR, {RESEARCH}"),
    "fair-noncommercial-research-license": Terms(
        "FAIR Noncommercial Research License",
        (
            Duty("give a copy of the agreement", "FAIR Noncommercial Research License, section 1.b"),
            Duty("follow the Acceptable Use Policy", "FAIR Noncommercial Research License, section 2"),
        ),
        restricted="FAIR Noncommercial Research License, section 1.b",
        non_commercial=f"FAIR Noncommercial Research License, {RESEARCH}",
    ),
    **_family(("cc", "gpl", "lgpl", "gfdl", "openrail"), "is a family of licences; name which one"),
    **_family(
        ("artistic-2.0", "ms-pl", "lppl-1.3c", "apple-ascl", "h-research", "intel-research"),
        "is not in the table with what it asks of a derivative; read it",
    ),
    "other": Terms("other", unsettled="is not named; read the file that license_link points to"),
    "unknown": Terms("unknown", unsettled="is not known"),
}
