"""Look at audits instead of reading them: reports of transfer-audit as a web page.

Started by itself it shows every report in ``reports/`` and the data sets that ``space.json`` pins. It needs gradio,
pandas and the folder ``page``, and computes nothing but what is shown.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # nothing leaves that nobody asked for
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr
from asking import Answer, asking
from endpoints import endpoints
from rendering import HERE, page
from shown import as_html, refusal, section
from tabs import tabs

__all__ = ["beside", "build", "launch"]

FILLS = ("body_background_fill", "block_background_fill", "input_background_fill")
LOOK = {  # the colours of page.STYLE, and contrasts that can be read
    **dict.fromkeys(FILLS, "#ffffff"),
    **dict.fromkeys((f"{name}_dark" for name in FILLS), "#12161b"),
    **dict.fromkeys(("button_primary_background_fill", "button_primary_background_fill_dark"), "#0b57a4"),
    "button_primary_text_color": "#ffffff",
    "block_border_width": "0px",
    "block_padding": "0.25rem",
    "input_border_width": "1px",
    "input_border_color": "#6b7280",
}


def beside(here: Path) -> tuple[str, list[Path]]:
    """Return the title, and the folders of the reports: those in ``reports/``, then data sets at pinned revisions."""
    pinned = here / "space.json"
    if not pinned.is_file():
        return "Audit", sorted(path.parent for path in here.glob("reports/*/report.json"))
    from huggingface_hub import snapshot_download

    said = json.loads(pinned.read_text(encoding="utf-8"))
    found = [here / "reports" / name for name in said["reports"]]
    for one in said["datasets"]:
        wanted = ["report.json", "*.parquet", "evidence/*.parquet"]
        got = snapshot_download(one["id"], repo_type="dataset", revision=one["revision"], allow_patterns=wanted)
        found.append(Path(got))
    return said["title"], found


def build(
    folders: Sequence[Path], answer: Answer | None = None, *, axes: Sequence[str] = (), title: str = "Audit"
) -> gr.Blocks:
    """Lay out the page.

    Parameters
    ----------
    folders : sequence of Path
        Of reports: ``report.json``, and evidence where it was published.
    answer : callable, optional
        ``answer(text, axis)`` asks base and adapted model a text, and the same about somebody else; returns for each
        ``{"text": ..., "base": {label: number}, "adapted": {label: number}}``.
    axes : sequence of str
        What ``answer`` can exchange.
    title : str
    """
    reports, refused = _read(folders)
    with gr.Blocks(title=title, analytics_enabled=False) as app:
        as_html(f"<h1><bdi>{html.escape(title)}</bdi></h1>{''.join(map(refusal, refused))}")
        if reports:
            first, *others = reports
            chosen = gr.Dropdown(list(reports), value=first, label="Report", visible=bool(others))
            section(page.heading, reports, chosen)
            with gr.Tabs():
                tabs(reports, chosen)
                if answer is not None:
                    with gr.Tab("Ask both"):
                        asking(answer, axes)
            endpoints(reports)
        elif not refused:
            as_html('<p class="ta">There is no report here.</p>')
    return app


def _read(folders: Sequence[Path]) -> tuple[dict[str, Any], list[str]]:
    """Read every folder: reports by name, and a line for each that cannot be shown."""
    reports: dict[str, Any] = {}
    refused = []
    for folder in folders:
        try:
            shown = page.read(folder)
        except page.Unreadable as error:
            refused.append(str(error))
            continue
        named = (shown.name, *(f"{shown.name} ({n})" for n in range(2, len(reports) + 2)))
        reports[next(name for name in named if name not in reports)] = shown
    return reports, refused


def launch(app: gr.Blocks, **where: Any) -> Any:
    """Serve a page; ``where`` goes to ``gradio.Blocks.launch``."""
    theme = gr.themes.Base(
        neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], radius_size="sm"
    ).set(**LOOK)
    head = (HERE / "head.html").read_text(encoding="utf-8").replace("/* style */", page.STYLE)
    footer: Any = ["api", "gradio", "settings"]
    return app.launch(theme=theme, head=head, footer_links=footer, ssr_mode=False, quiet=True, **where)


def _asks_for_zero() -> None:
    """Register a function on ZeroGPU: a Space there must have one, and this page has no use for a GPU."""
    import spaces

    spaces.GPU(duration=1)(lambda: None)


if __name__ == "__main__":
    if os.environ.get("SPACES_ZERO_GPU"):
        _asks_for_zero()
    called, found = beside(HERE)
    launch(build(found, title=called))
