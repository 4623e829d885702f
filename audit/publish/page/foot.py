"""The end of the page: downloads, how to get the same numbers again, and what a reader must know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .read import Shown
from .table import folded, section, table
from .text import isolated, safe

__all__ = ["downloads", "files", "limits", "reproduce"]

BESIDE = ("report.json", "manifest.json", "card.md", "moved.parquet", "flipped.parquet", "drivers.parquet")
VERDICT = (
    "A margin is the smallest change worth acting on; it was declared before the models were asked. Same: the 90 % "
    "interval of the change lies inside ± margin. Worse or better: the 90 % interval, simultaneous over the finding's "
    "family, lies beyond the margin. Unclear: neither; more items would be needed. Of forgetting, retained is same or "
    "better and lost is worse; a change inside the margin that is nevertheless detectable is called that. Where null "
    "copies of the base differ by more than the margin, nothing is called the same. Numbers in brackets are 95 % "
    "intervals; every quantity is a harm (larger is worse), or signed with ideal 0."
)


def files(shown: Shown) -> list[str]:
    """Return the files beside the report that can be downloaded, as paths within its folder."""
    beside = [name for name in BESIDE if (shown.folder / name).is_file()]
    return beside + [f"evidence/{path.name}" for path in sorted((shown.folder / "evidence").glob("*.parquet"))]


def downloads(shown: Shown, at: str = "") -> str:
    """Link the files themselves.

    Parameters
    ----------
    shown : Shown
    at : str
        Where the page finds the report's folder; empty if beside itself.
    """
    rows, folder = [], f"{at.rstrip('/')}/" if at else ""
    for name in files(shown):
        size = (shown.folder / name).stat().st_size
        url = safe("".join(("./", quote(folder), quote(name))))
        rows.append([f'<a href="{url}" download>{isolated(name)}</a>', f"{size / 1000:,.1f} kB"])
    return section("Downloads", table(("file", "size"), rows, "Files of this audit", (1,)))


def reproduce(shown: Shown) -> str:
    """Show the command, the recipe, the versions, and the fingerprints of data and files."""
    report = shown.report
    recipe, told = report["recipe"], report["provenance"]
    command = told["command"] or "not recorded"
    rows = [["recipe", f"<code>{safe(recipe['fingerprint'])}</code>"]]
    for data in told["data"]:
        counts = ", ".join(f"{data[name]} {name}" for name in ("train", "test") if isinstance(data.get(name), int))
        name = f"{isolated(data.get('name', 'data'))}{f' ({counts})' if counts else ''}"
        rows.append([name, f"<code>{safe(data.get('fingerprint', 'not recorded'))}</code>"])
    rows += [
        [f"base: {isolated(name)}", f"<code>{safe(digest)}</code>"] for name, digest in report["base"]["files"].items()
    ]
    rows += [
        [f"adapted: {isolated(name)}", f"<code>{safe(digest)}</code>"]
        for name, digest in report["adapted"]["files"].items()
    ]
    text = f"<pre>{isolated(recipe['text'] or 'not recorded')}</pre>"
    versions = ", ".join(f"{isolated(name)} {isolated(version)}" for name, version in told["versions"].items())
    return section(
        "Reproduce",
        f"<pre>{isolated(command)}</pre><p>{isolated(report['tool'])}; {versions}. {_hardware(told)}</p>"
        f"{_unpinned(told)}{folded('The recipe', text)}"
        f"{folded('Fingerprints', table(('of', 'sha256'), rows, 'Fingerprints'))}",
    )


def _hardware(told: Mapping[str, Any]) -> str:
    shown = ", ".join(
        f"{isolated(name)} {isolated(value)}" for name, value in told["hardware"].items() if value is not None
    )
    return f"Hardware: {shown}." if shown else ""


def _unpinned(told: Mapping[str, Any]) -> str:
    names = told.get("unpinned") or []
    return (
        f"<p class='ta-note'>Named without a commit, so it may move: {', '.join(map(isolated, names))}.</p>"
        if names
        else ""
    )


def limits(shown: Shown) -> str:
    """Show what a reader must know, and how a verdict is to be read."""
    listed = "".join(f"<li>{isolated(one)}</li>" for one in shown.report["limits"])
    told = f"<ul>{listed}</ul>" if listed else "<p>None were recorded.</p>"
    return section("Limits", f"{told}<h3>How to read a verdict</h3><p>{VERDICT}</p>")
