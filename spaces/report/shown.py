"""Pieces of the page that every tab is made of."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr
from rendering import Reports

__all__ = ["ALL", "QUIET", "as_html", "named", "refusal", "section"]

ALL = "all"
QUIET: dict[str, Any] = {  # of every event that only shows something else
    "queue": False,
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "api_visibility": "private",
}


def section(render: Callable[[Any], str], reports: Reports, chosen: gr.Dropdown) -> None:
    """Show one section, of the report that is chosen."""
    told = as_html(render(reports[chosen.value]))
    chosen.change(lambda name: render(reports[name]), chosen, told, **QUIET)


def as_html(told: str) -> gr.HTML:
    """Show markup that nothing of a report stands in unescaped."""
    return gr.HTML(told, js_on_load=None, apply_default_css=False, padding=False)


def refusal(line: str) -> str:
    """Say in a line what cannot be shown."""
    return f"<p class='ta ta-refused' role='alert'>{html.escape(line)}</p>"


def named(choice: str) -> str | None:
    """Return what was chosen, None for all."""
    return None if choice == ALL else choice
