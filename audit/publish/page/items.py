"""Single items that moved: what both sides made of them, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .table import section, table
from .text import isolated, rounded, safe, written

if TYPE_CHECKING:
    from .read import Shown

__all__ = ["OUTCOMES", "PAGE", "flips", "item_rows", "listed", "questions"]

PAGE = 50  # items shown at once
OUTCOMES = ("lost", "gained", "moved")
SIDES = {"lost": ("right", "wrong"), "gained": ("wrong", "right")}


def listed(flipped: pd.DataFrame | None, moved: pd.DataFrame | None, task: pd.DataFrame | None) -> list[dict[str, Any]]:
    """List items that only one side gets right, of the task and of forgetting, then those whose score moved most."""
    rows = []
    for part in (_of_task(task), flipped):
        for one in (
            [] if part is None else part.sort_values("outcome", ascending=False, kind="stable").to_dict("records")
        ):
            base, adapted = SIDES.get(one["outcome"], ("", ""))
            rows.append(_row(one, str(one["outcome"]), base, adapted, None))
    for one in [] if moved is None else moved[moved["change"] != 0].to_dict("records"):
        rows.append(_row(one, "moved", one["base"], one["adapted"], one["change"]))
    return rows


def _row(one: dict[Any, Any], outcome: str, base: Any, adapted: Any, change: Any) -> dict[str, Any]:
    row = {"finding": str(one["question"]), "item": str(one["item_id"]), "cluster": str(one["cluster"])}
    row |= {"outcome": outcome, "base": base, "adapted": adapted, "change": change}
    return row | ({"text": str(one["text"])} if one.get("text") is not None else {})


def _of_task(task: pd.DataFrame | None) -> pd.DataFrame | None:
    """Items of the task that only one side gets right; None where it is no question of right or wrong."""
    if task is None or not task["value"].isin((0.0, 1.0)).all():
        return None
    first = task[task["seed"].isna() | (task["seed"] == task["seed"].min())]
    keys = [name for name in ("question", "item_id", "cluster", "text") if name in first]
    sides = {
        arm: first[first["arm"] == arm].drop_duplicates(keys).set_index(keys)["value"] for arm in ("base", "adapted")
    }
    both: pd.DataFrame = pd.concat(sides, axis=1, join="inner").reset_index()
    both = both.loc[both["base"] != both["adapted"]]
    return both.assign(outcome=["lost" if right else "gained" for right in both["base"]])


def item_rows(shown: Shown) -> list[dict[str, Any]]:
    """List single items that moved, as plain records.

    Returns
    -------
    list of dict
        ``finding, item, cluster, outcome`` (lost, gained, moved), ``base, adapted`` (right or wrong, or the score of
        what moved), ``change``, and ``text`` where texts were published.
    """
    return [dict(row) for row in shown.items]


def questions(shown: Shown) -> list[str]:
    """Return the findings that items are known of, in order."""
    return list(dict.fromkeys(row["finding"] for row in shown.items))


def flips(
    shown: Shown, search: str = "", question: str | None = None, outcome: str | None = None, page: int = 1
) -> tuple[str, int]:
    """Show items that moved, base and adapted side by side.

    Parameters
    ----------
    shown : Shown
    search : str
        Kept are items whose id, cluster or text contains it, whatever its case.
    question : str, optional
        The id of a finding.
    outcome : {"lost", "gained", "moved"}, optional
    page : int
        From 1; a page holds ``PAGE`` items.

    Returns
    -------
    str
    int
        How many items there are on all pages.
    """
    kept = [row for row in shown.items if question in (None, "", row["finding"])]
    kept = [row for row in kept if outcome in (None, "", row["outcome"])]
    if search:
        wanted = search.casefold()
        kept = [
            row for row in kept if any(wanted in row.get(name, "").casefold() for name in ("item", "cluster", "text"))
        ]
    first = max(0, min(page - 1, (len(kept) - 1) // PAGE)) * PAGE
    return _section(shown, kept, kept[first : first + PAGE], first), len(kept)


def _section(shown: Shown, kept: list[dict[str, Any]], some: list[dict[str, Any]], first: int) -> str:
    if not shown.items:
        return section("Items that flipped", f"<p>{_nothing(shown)}</p>")
    which = f"{first + 1:,} to {first + len(some):,} of {len(kept):,}" if some else "none"
    told = "" if shown.texts else " Texts were not published: items are known by salted ids."
    return section("Items that flipped", f"<p class='ta-muted'>Items shown: {which}.{told}</p>{item_table(some)}")


def item_table(rows: list[dict[str, Any]]) -> str:
    """Tabulate items, base and adapted side by side."""
    told = any("text" in row for row in rows)
    body = [
        [
            f"<span class='ta-{safe(row['outcome'])}'>{safe(row['outcome'])}</span>",
            f"<code>{isolated(row['item'])}</code>" + (f"<br>{written(row['text'])}" if "text" in row else ""),
            _side(row["base"]),
            _side(row["adapted"]),
            rounded(row["change"], signed=True),
            isolated(row["finding"]),
        ]
        for row in rows
    ]
    marks = [{"data-outcome": row["outcome"], "data-finding": row["finding"]} for row in rows]
    item = "item and text" if told else "item"
    return table(("outcome", item, "base", "adapted", "change", "finding"), body, "Items that moved", (4,), marks)


def _side(value: Any) -> str:
    return f"<span class='ta-{value}'>{value}</span>" if isinstance(value, str) else rounded(value)


def _nothing(shown: Shown) -> str:
    if shown.report["provenance"].get("evidence") == "none":
        return "No scores of single items were published (evidence = none)."
    if not shown.report["findings"]:
        return "Nothing was measured on single items."
    return "No single item is known to have moved: nothing flipped, or the tables are not beside the report."
