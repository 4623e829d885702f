"""Adapt a pretrained base, then audit the adapted model against its own base."""

from audit.errors import InputError, Unavailable
from audit.finding import Decision, Estimate, Finding, Origin, Verdict
from audit.recipe import Recipe, load_recipe
from audit.report import Report, load_report
from audit.view import Item, NotMeasurable, View, read_items, read_lm_eval, record, remember, replay

__all__ = [
    "Decision",
    "Estimate",
    "Finding",
    "InputError",
    "Item",
    "NotMeasurable",
    "Origin",
    "Recipe",
    "Report",
    "Unavailable",
    "Verdict",
    "View",
    "load_recipe",
    "load_report",
    "read_items",
    "read_lm_eval",
    "record",
    "remember",
    "replay",
]
