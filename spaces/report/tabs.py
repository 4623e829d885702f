"""The tabs that show a report, in the order in which it is read."""

from __future__ import annotations

from typing import Any

import gradio as gr
from rendering import Reports, page
from shown import ALL, QUIET, as_html, named, section

__all__ = ["tabs"]

AUDITS = (ALL, "bias", "gap", "forgetting", "transfer")
VERDICTS = (ALL, "worse", "same", "better", "unclear")


def tabs(reports: Reports, chosen: gr.Dropdown) -> None:
    """Lay out every tab; ``chosen`` says which report they show."""
    with gr.Tab("Findings"):
        _findings(reports, chosen)
    with gr.Tab("Origin"):
        section(page.origins, reports, chosen)
    with gr.Tab("Drill-down"):
        _drill(reports, chosen)
    with gr.Tab("Items"):
        _items(reports, chosen)
    with gr.Tab("Domain gap"):
        section(page.gap, reports, chosen)
    with gr.Tab("Strength"):
        section(page.curves, reports, chosen)
    if len(reports) > 1:
        with gr.Tab("Compare"):
            as_html(page.compare(list(reports.values())))
    with gr.Tab("Diligence"):
        section(page.diligence, reports, chosen)
    with gr.Tab("Evidence"):
        gr.set_static_paths(
            [str(shown.folder.resolve() / path) for shown in reports.values() for path in page.files(shown)]
        )
        section(_downloads, reports, chosen)
        section(page.reproduce, reports, chosen)
        section(page.limits, reports, chosen)


def _downloads(shown: Any) -> str:
    """Link the very files: Gradio serves those that are said to be static as they are, and no others of the folder."""
    return str(page.downloads(shown, f"gradio_api/file={shown.folder.resolve()}/"))


def _findings(reports: Reports, chosen: gr.Dropdown) -> None:
    with gr.Row():
        audit = gr.Radio(AUDITS, value=ALL, label="Audit")
        verdict = gr.Radio(VERDICTS, value=ALL, label="Verdict")
        search = gr.Textbox(label="Search findings", max_lines=1)

    def show(name: str, audit: str, verdict: str, search: str) -> str:
        return str(page.findings(reports[name], named(audit), named(verdict), search))

    asked = [chosen, audit, verdict, search]
    table = as_html(show(chosen.value, ALL, ALL, ""))
    gr.on([one.change for one in asked], show, asked, table, **QUIET)


def _drill(reports: Reports, chosen: gr.Dropdown) -> None:
    def several(name: str, key: str) -> list[str]:
        return [ALL, *page.choices(reports[name])[key]]

    with gr.Row():
        audit = gr.Radio(AUDITS, value=ALL, label="Audit of")
        probe = gr.Dropdown(several(chosen.value, "probe"), value=ALL, label="Probe")
        group = gr.Dropdown(several(chosen.value, "group"), value=ALL, label="Group or slice")

    def show(name: str, audit: str, probe: str, group: str) -> str:
        return str(page.drill(reports[name], named(audit), named(probe), named(group)))

    def renew(name: str, audit: str) -> tuple[Any, ...]:
        choices = (gr.Dropdown(several(name, key), value=ALL) for key in ("probe", "group"))
        return *choices, show(name, audit, ALL, ALL)

    table = as_html(show(chosen.value, ALL, ALL, ALL))
    gr.on([audit.change, probe.change, group.change], show, [chosen, audit, probe, group], table, **QUIET)
    chosen.change(renew, [chosen, audit], [probe, group, table], **QUIET)


def _items(reports: Reports, chosen: gr.Dropdown) -> None:
    asked_of = {name: [ALL, *page.questions(shown)] for name, shown in reports.items()}
    with gr.Row():
        search = gr.Textbox(label="Search items", max_lines=1)
        finding = gr.Dropdown(asked_of[chosen.value], value=ALL, label="Finding")
        outcome = gr.Radio((ALL, *page.OUTCOMES), value=ALL, label="Outcome")
    at = gr.State(1)

    def show(name: str, search: str, finding: str, outcome: str, number: int = 1) -> tuple[str, int]:
        told, count = page.flips(reports[name], search, named(finding), named(outcome), page=number)
        return told, min(number, max(1, -(-count // page.PAGE)))

    def back(*given: Any) -> tuple[str, int]:
        return show(*given[:-1], max(1, given[-1] - 1))

    def on(*given: Any) -> tuple[str, int]:
        return show(*given[:-1], given[-1] + 1)

    def renew(name: str, search: str, outcome: str) -> tuple[Any, ...]:
        return gr.Dropdown(asked_of[name], value=ALL), *show(name, search, ALL, outcome)

    told = as_html(show(chosen.value, "", ALL, ALL)[0])
    with gr.Row():
        for label, turn in (("Previous items", back), ("Next items", on)):
            button = gr.Button(label, size="sm")
            button.click(turn, [chosen, search, finding, outcome, at], [told, at], **QUIET)
    changed = [search.change, finding.change, outcome.change]
    gr.on(changed, show, [chosen, search, finding, outcome], [told, at], **QUIET)
    chosen.change(renew, [chosen, search, outcome], [finding, told, at], **QUIET)
