"""What licences ask of a derivative. Known answers: their own sections, and the lists of FSF and Creative Commons."""

from __future__ import annotations

import pytest

from audit.publish.diligence.licences import NOT_ADVICE, derivative, hub_id, recognised
from audit.publish.diligence.terms import TABLE
from tests.hub.card import LICENCES

# base, chosen, what they say together, the section that decides
ALONE = [
    ("mit", "apache-2.0", "conditions", "MIT, second paragraph"),
    ("cc0-1.0", "apache-2.0", "compatible", ""),
    ("apache-2.0", "mit", "conditions", "Apache-2.0, section 4"),
    # FSF, license list: Apache 2.0 goes with GPL version 3, not with version 2
    ("apache-2.0", "gpl-3.0", "conditions", "Apache-2.0, section 4"),
    ("apache-2.0", "gpl-2.0", "conflict", "Apache-2.0, section 3"),
    # FSF, matrix of the GPLs' compatibility
    ("gpl-3.0", "apache-2.0", "conflict", "GPL-3.0, section 5(c)"),
    ("gpl-3.0", "agpl-3.0", "conditions", "GPL-3.0, section 5(c)"),
    ("gpl-2.0", "gpl-3.0", "conflict", "GPL-2.0, section 2(b)"),
    ("GPL-2.0-only", "gpl-3.0", "conflict", "GPL-2.0, section 2(b)"),
    ("GPL-2.0-or-later", "gpl-3.0", "conditions", "GPL-2.0, sections 2(b) and 9"),
    ("agpl-3.0", "gpl-3.0", "conflict", "AGPL-3.0"),
    ("lgpl-2.1", "gpl-2.0", "conditions", "LGPL-2.1"),
    ("mpl-2.0", "gpl-3.0", "conditions", "MPL-2.0"),
    ("mpl-2.0", "mit", "conflict", "MPL-2.0"),
    ("gpl", "gpl-3.0", "unknown", ""),
    # Creative Commons: BY-SA 4.0 goes to GPL version 3 one way (creativecommons.org, compatible licenses, 2015)
    ("cc-by-4.0", "apache-2.0", "conditions", "CC BY 4.0, section 3(a)"),
    ("cc-by-sa-4.0", "cc-by-sa-4.0", "conditions", "CC BY-SA 4.0, section 3(b)"),
    ("cc-by-sa-4.0", "gpl-3.0", "conditions", "CC BY-SA 4.0, section 3(b)"),
    ("cc-by-sa-3.0", "cc-by-sa-4.0", "conditions", "CC BY-SA 3.0"),
    ("cc-by-sa-4.0", "cc-by-sa-3.0", "conflict", "CC BY-SA 4.0, section 3(b)"),
    ("cc-by-sa-4.0", "mit", "conflict", "CC BY-SA 4.0, section 3(b)"),
    ("cc-by-nc-4.0", "mit", "conflict", "CC BY-NC 4.0, section 2(a)(1)"),
    ("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "conditions", "CC BY-NC 4.0, section 2(a)(1)"),
    ("cc-by-nc-sa-4.0", "cc-by-nc-4.0", "conflict", "CC BY-NC-SA 4.0, section 3(b)"),
    ("cc-by-nd-4.0", "cc-by-nd-4.0", "conflict", "CC BY-ND 4.0, section 2(a)(1)(B)"),
    ("cc-by-nc-nd-4.0", None, "conflict", "CC BY-NC-ND 4.0, section 2(a)(1)(B)"),
    ("cc", "mit", "unknown", ""),
    # models' own
    ("llama3.1", "apache-2.0", "conflict", "Llama 3.1 Community License, section 1.b"),
    ("llama3.1", "llama3.1", "conditions", "section 1.b.i"),
    ("llama3.1", "llama3.3", "unknown", "Llama 3.1"),
    ("gemma", "gemma", "conditions", "sections 3.1 and 3.2"),
    ("gemma", "mit", "conflict", "Gemma Terms of Use, section 3.1"),
    ("creativeml-openrail-m", "mit", "conflict", "CreativeML OpenRAIL-M, paragraphs 4(a) and 5"),
    ("creativeml-openrail-m", "creativeml-openrail-m", "conditions", "paragraphs 4 and 5"),
    ("bigscience-bloom-rail-1.0", "bigscience-openrail-m", "unknown", "BLOOM RAIL"),
    ("deepfloyd-if-license", "creativeml-openrail-m", "conflict", "DeepFloyd"),
    # what is not known
    ("other", "mit", "unknown", ""),
    ("unknown", "mit", "unknown", ""),
    ("my-own-1.0", "mit", "unknown", ""),
    (None, "mit", "unknown", ""),
    ("mit", None, "unknown", ""),
    ("mit", "other", "unknown", ""),
    ("mit", "my-own-1.0", "unknown", ""),
]


@pytest.mark.parametrize(("base", "chosen", "outcome", "source"), ALONE)
def test_base_and_derivative(base: str | None, chosen: str | None, outcome: str, source: str) -> None:
    ruling = derivative(base, [], chosen)
    assert ruling.outcome == outcome
    assert ruling.said.startswith(f"{outcome}: ")
    assert source in ruling.said


def test_what_must_be_carried_is_named_with_its_section() -> None:
    duties = {one.what: one.source for one in derivative("llama3", ["cc-by-4.0"], "llama3").duties}
    assert duties['show "Built with Meta Llama 3" prominently'] == "Llama 3 Community License, section 1.b.i"
    assert duties['begin the model\'s name with "Llama 3"'] == "Llama 3 Community License, section 1.b.i"
    assert (
        duties["improve no other language model with it or its outputs"] == "Llama 3 Community License, section 1.b.v"
    )
    assert any("Acceptable Use" in one for one in duties)
    assert any("credit the author" in one for one in duties)
    duties = {one.what: one.source for one in derivative("llama3.2", [], "llama3.2").duties}
    assert 'show "Built with Llama" prominently' in duties  # since 3.1 without the version
    assert not any("improve no other" in one for one in duties)
    assert any("NOTICE" in one.what for one in derivative("apache-2.0", [], "mit").duties)
    assert any(
        one.what == "publish under lgpl-3.0" or "lgpl-3.0" in one.what
        for one in derivative("lgpl-3.0", [], "lgpl-3.0").duties
    )
    assert any(one.what == "no commercial use" for one in derivative("cc-by-nc-4.0", [], "cc-by-nc-4.0").duties)


# data, chosen; what would be a conflict with the base is not settled for data
DATA = [
    ("cc0-1.0", "apache-2.0", "conditions"),  # of the base
    ("cc-by-4.0", "apache-2.0", "conditions"),
    ("cc-by-sa-4.0", "apache-2.0", "unknown"),
    ("cc-by-nc-4.0", "apache-2.0", "unknown"),
    ("cc-by-nd-4.0", "apache-2.0", "unknown"),
    ("gpl-3.0", "apache-2.0", "unknown"),
    ("cdla-sharing-1.0", "apache-2.0", "conditions"),  # its results go free
    ("odbl", "apache-2.0", "conditions"),  # a produced work: section 4.3
    (None, "apache-2.0", "unknown"),
]


@pytest.mark.parametrize(("data", "chosen", "outcome"), DATA)
def test_data_and_derivative(data: str | None, chosen: str, outcome: str) -> None:
    ruling = derivative("mit", [data], chosen)
    assert ruling.outcome == outcome
    assert [one.of for one in ruling.readings][:2] == ["base", "data"]


def test_the_worst_decides() -> None:
    assert derivative("gpl-3.0", [None, "mit"], "mit").outcome == "conflict"
    assert derivative("mit", ["mit", "other"], "mit").outcome == "unknown"
    assert derivative("cc0-1.0", ["cc0-1.0", "mit"], "mit").outcome == "conditions"
    assert derivative("cc0-1.0", ["cc0-1.0", "cdla-permissive-2.0"], "mit").outcome == "compatible"
    assert len(derivative("mit", ["mit", "mit"], "mit").duties) == 1


def test_every_licence_of_the_hub_is_in_the_table() -> None:
    """Source: the list by which the loopback Hub validates cards, written from the Hub's documentation."""
    assert set(LICENCES.split()) <= set(TABLE)
    for id, terms in TABLE.items():
        assert hub_id(id) == id
        alone = derivative(id, [], id)
        assert (alone.outcome == "unknown") == bool(terms.unsettled), id
        assert (alone.outcome == "conflict") == bool(terms.no_derivatives), id
        for section in (one.source for one in terms.duties):
            assert section
        assert bool(terms.same) == bool(terms.share_alike), id
        assert terms.same <= set(TABLE), id
        assert not terms.same or id in terms.same, id


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("Apache License\n                           Version 2.0, January 2004", "apache-2.0"),
        ("MIT License\n\nPermission is hereby granted, free of charge, to any person\nobtaining a copy", "mit"),
        ("Redistributions of source code must retain the\nNeither the name of its", "bsd-3-clause"),
        ("1. Redistributions of source code must retain the above copyright notice", "bsd-2-clause"),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3\n 13. Use with the GNU Affero General Public License.", "gpl-3.0"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\n    Version 3, 19 November 2007", "agpl-3.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n Version 3 ... the GNU General Public License version 3", "lgpl-3.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International Public License", "cc-by-nc-4.0"),
        ("Attribution 4.0 International\n====", "cc-by-4.0"),
        ("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\nLlama 3.1 Version Release Date: July 23, 2024", "llama3.1"),
        ("META LLAMA 3 COMMUNITY LICENSE AGREEMENT", "llama3"),
        ("# **Gemma Terms of Use**", "gemma"),
        ("CreativeML Open RAIL-M\ndated August 22, 2022", "creativeml-openrail-m"),
        ("CreativeML Open RAIL++-M License dated July 26, 2023", "openrail++"),
        ("University of Illinois/NCSA Open Source License\nPermission is hereby granted, free of charge, to any person "
         "obtaining a copy", "ncsa"),
        ("Permission to use, copy, modify, and distribute this software for any purpose with or without fee", "isc"),
        ("The history of the software. " * 100 + "Apache License, Version 2.0", None),  # one that others come after
        ("All rights reserved.", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_licence_is_known_by_its_words(text: str, id: str | None) -> None:
    assert recognised(text) == id


def test_it_says_that_it_is_no_advice() -> None:
    assert "not legal advice" in NOT_ADVICE
