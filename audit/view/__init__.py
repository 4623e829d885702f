"""What an audit asks of a model: items, the questions that a view answers, recorded answers as a view."""

from audit.view.item import Item, fingerprint, read_items
from audit.view.lm_eval import read_lm_eval
from audit.view.question import Kind, NotMeasurable, View, answer_texts, option_scores
from audit.view.recorded import record, replay
from audit.view.remembered import remember

__all__ = [
    "Item",
    "Kind",
    "NotMeasurable",
    "View",
    "answer_texts",
    "fingerprint",
    "option_scores",
    "read_items",
    "read_lm_eval",
    "record",
    "remember",
    "replay",
]
