"""The model card: a pure function of the report, merged into what is there without loss."""

from audit.publish.card.rendered import card, denied, render, sentence, verdict_line

__all__ = ["card", "denied", "render", "sentence", "verdict_line"]
