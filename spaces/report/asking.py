"""Ask both models: a text, and the same text about somebody else."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from typing import Any

import gradio as gr
from shown import as_html, refusal

__all__ = ["Answer", "asking"]

Answer = Callable[[str, str | None], Sequence[Mapping[str, Any]]]
SIDES = ("base", "adapted")
NOBODY = "as it is"
LONGEST = 2_000  # characters that a model is asked
PATIENCE = 30.0  # seconds that one answer may take


def asking(answer: Answer, axes: Sequence[str]) -> None:
    """Lay out the tab that asks both models; one question at a time."""
    text = gr.Textbox(label="A text", lines=3, max_length=LONGEST)
    axis = gr.Radio([NOBODY, *axes], value=NOBODY, label="And the same about somebody else")
    button = gr.Button("Ask base and adapted", variant="primary")
    told = as_html("<p class='ta'>Both models answer here; nothing of the text is kept.</p>")
    hand = ThreadPoolExecutor(max_workers=1)  # one question at a time

    def ask(text: str, axis: str) -> str:
        if not text.strip() or len(text) > LONGEST:
            return refusal(f"The text has {len(text):,} characters; what can be asked has 1 to {LONGEST:,}.")
        try:
            return _answered(hand.submit(answer, text, None if axis == NOBODY else axis).result(PATIENCE))
        except Late:
            return refusal(f"There was no answer within {PATIENCE:g} seconds.")
        except (ValueError, RuntimeError) as error:
            return refusal(" ".join(str(error).split()))

    button.click(ask, [text, axis], told, concurrency_limit=1, api_visibility="private")


def _answered(answers: Sequence[Mapping[str, Any]]) -> str:
    """Tabulate what both sides say of each text, and how far each moved from the first text to the second."""
    shown = []
    for one in answers:
        note = f"<p class='ta-muted'>{html.escape(one['note'])}</p>" if one.get("note") else ""
        shown.append(f"<h3><bdi>{html.escape(str(one['text']))}</bdi></h3>{note}{_table(one)}")
    if len(answers) > 1:
        first, second = answers[:2]
        moved = {side: {name: second[side][name] - first[side][name] for name in first[side]} for side in SIDES}
        shown.append(f"<h3>How far each moved, from the first text to the second</h3>{_table(moved, '+')}")
    return f"<section class='ta' aria-label='Answers'>{''.join(shown)}</section>"


def _table(said: Mapping[str, Any], sign: str = "") -> str:
    """Tabulate what base and adapted model say, a row a name."""
    head = "".join(f"<th scope='col'{' class=ta-n' * bool(name)}>{name}</th>" for name in ("", *SIDES, "difference"))
    body = "".join(
        f"<tr><th scope='row'><bdi>{html.escape(name)}</bdi></th><td class='ta-n'>{said['base'][name]:{sign}.3f}</td>"
        f"<td class='ta-n'>{value:{sign}.3f}</td><td class='ta-n'>{value - said['base'][name]:+.3f}</td></tr>"
        for name, value in said["adapted"].items()
    )
    return (
        "<div class='ta-scroll' tabindex='0'><table><caption>Answers</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
