"""What must not leave the machine in what is published: tokens, addresses of people, places and names of this machine.

What merely looks alike stays: ids of the Hub, fractions, dates, addresses of pages, formulas, hashes. Where a pattern
cannot tell, privacy goes first in what is long and odd (``/x/y.csv``), the text in what is short and common (``~50``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, NamedTuple

from audit.publish.bundle.machine import Machine, this_machine
from audit.publish.bundle.said import Content, holds, said

__all__ = ["ADDRESS", "KINDS", "NAME", "leaks", "redacted", "redactor", "throughout"]

TOKEN, PLACE, ADDRESS, NAME = "a token", "a local path", "an e-mail address", "a name of this machine or its user"
KINDS = (TOKEN, PLACE, ADDRESS, NAME)

PUT = {TOKEN: "[token]", PLACE: "[path]", ADDRESS: "[e-mail]"}
FILES = (
    "arrow bin cfg ckpt conf csv db gguf gz h5 ipynb ini jpeg jpg json jsonl log md model npy npz onnx parquet pdf pkl "
    "png pt pth py safetensors sh sqlite tar toml tsv txt xlsx xml yaml yml zip zst"
).replace(" ", "|")
NAMED = r"(?:\[(?:token|e-mail|path|user|host)\]|[^\s/\\\"'`<>|:;,*?()\[\]{}$&!\x00-\x1f])+"
BEFORE = r"(?<![\w.~/\\\])}-])"
DRIVE = r"(?<![\w\\\[-])[A-Za-z]"
WINDOWS = "users|documents and settings|windows|programdata|program files|temp|work|data|projects?|home"
SPACED = r"[^\\/:*?\"'<>|\r\n]"
HOMES = ("home", "homes", "users")


class Rule(NamedTuple):
    """What is looked for, what kind of thing it is, and what is put in its place."""

    kind: str
    pattern: re.Pattern[str]
    put: str | Callable[[re.Match[str]], str]


def redacted(text: str) -> str:
    r"""Return a text without tokens, e-mail addresses, local paths and names of this machine.

    A path keeps its last name. What was redacted stays as it is.

    Examples
    --------
    >>> redacted("--data /home/alice/reviews.csv, by alice@clinic.example, see https://hf.co/owner/name")
    '--data [path]/reviews.csv, by [e-mail], see https://hf.co/owner/name'
    >>> redacted("and/or 3/4, 2024/05/06, \\frac{a}{b}, hf_hub_download, name@sha256")
    'and/or 3/4, 2024/05/06, \\frac{a}{b}, hf_hub_download, name@sha256'
    """
    return redactor()(text)


def throughout(value: Any, clean: Callable[[str], str]) -> Any:
    """Clean every text of a JSON value, keys included.

    Examples
    --------
    >>> throughout({"a": ["b", 1]}, str.upper)
    {'A': ['B', 1]}
    """
    if isinstance(value, dict):
        return {clean(key): throughout(inner, clean) for key, inner in value.items()}
    if isinstance(value, list):
        return [throughout(inner, clean) for inner in value]
    return clean(value) if isinstance(value, str) else value


def redactor() -> Callable[[str], str]:
    """Look at this machine once, for many texts."""
    rules = _rules(this_machine())

    def clean(text: str) -> str:
        before = None
        while text != before:  # what is gone may bare what stood behind it
            before = text
            for one in rules:
                text = one.pattern.sub(one.put, text)
        return text

    return clean


def leaks(content: Content, kinds: Collection[str] = KINDS) -> list[str]:
    """Name the kinds of what still stands in the bytes of a file, never the thing itself.

    Parameters
    ----------
    content : bytes or Path
        Of any file. Of parquet the columns and the metadata are read; of safetensors the names and the metadata; of
        JSON every string, but for the vocabulary of a tokenizer; of other text also what it shows when it is rendered.
    kinds : collection of str
        What is looked for, of `KINDS`. Secrets of this machine are always looked for, in every byte.

    Returns
    -------
    list of str
        Empty where nothing was found.
    """
    machine = this_machine()
    found = {TOKEN} if holds(content, [one.encode() for one in machine.secrets]) else set()
    rules = [one for one in _rules(machine) if kinds]
    for text in said(content) if kinds else ():
        for one in rules:
            clean = one.pattern.sub(one.put, text)
            if clean != text and one.kind in kinds:
                found.add(one.kind)
            text = clean
    return [one for one in KINDS if one in found]


@lru_cache(maxsize=4)
def _rules(machine: Machine) -> tuple[Rule, ...]:
    return (*_tokens(machine), *_paths(machine), ADDRESSES, *_names(machine))


# --- tokens -----------------------------------------------------------------------------------------------------------

SHAPES = (
    r"(?:hf|api_org)_[A-Za-z0-9]{16,}",
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_\w{20,}",
    r"glpat-[\w-]{16,}",
    r"sk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    r"AIza[\w-]{30,}",
    r"xox[abposr]-[\w-]{10,}",
    r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+",
)
VALUE = r"(?![\[<{$])[^\s\"'<>&,;()\[\]]"
SAID = (  # what says of itself that a secret follows
    rf"((?i:authorization)[\"']?\s*[:=]\s*[\"']?(?i:bearer|basic|token|digest)\s+){VALUE}{{4,}}",
    r"(\b(?i:bearer)\s+)(?=\S*\d)[A-Za-z0-9._~+/-]{16,}=*",
    rf"((?<![A-Za-z])(?:[A-Z][A-Z0-9]*_)*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY)\s*=\s*[\"']?){VALUE}{{8,}}",
    rf"(--(?:hf-)?(?:token|password|api-key|secret)(?:=|\s+)[\"']?)(?!-){VALUE}{{8,}}",
    rf"([?&;](?i:access_token|auth_token|token|api_?key|signature|sig|x-amz-[a-z-]+)=){VALUE}+",
    r"((?i:\b(?:password|passwd|secret|api_?key|(?:access|auth|hf)_?token))[\"']?\s*[=:]\s*[\"'])(?![\[<{$])[^\s\"']{6,}",
)


def _tokens(machine: Machine) -> list[Rule]:
    own = [Rule(TOKEN, re.compile("|".join(map(re.escape, machine.secrets))), PUT[TOKEN])] if machine.secrets else []
    return [
        *own,
        Rule(TOKEN, re.compile(rf"hf_[A-Za-z0-9]{{30,}}|(?<![A-Za-z0-9])(?:{'|'.join(SHAPES)})"), PUT[TOKEN]),
        *(Rule(TOKEN, re.compile(one), rf"\g<1>{PUT[TOKEN]}") for one in SAID),
        Rule(TOKEN, re.compile(r"(?<=://)(?!git@)[^\s/@:\"'<>]+(?::[^\s/@\"'<>]*)?@(?=[\w\[])"), f"{PUT[TOKEN]}@"),
    ]


# --- places -----------------------------------------------------------------------------------------------------------


def _paths(machine: Machine) -> list[Rule]:
    own = f"(?:{'|'.join(map(re.escape, machine.places))})(?![\\w-])|" if machine.places else ""
    roots = "|".join(map(re.escape, machine.roots))
    patterns = (
        rf"(?<!\w)(?i:file:/+)(?:{NAMED}|[/:\\])+",
        rf"{DRIVE}:[\\/]+(?i:{WINDOWS})\b(?:[\\/]+{SPACED}+(?=[\\/]))*(?:[\\/]+[^\\/:*?\"'<>|\r\n\s,;)\]]*)?",
        rf"(?:{DRIVE}:\\+|(?<![\w\\])\\\\+(?=\w))(?:[\w$ .-]+\\+)+[\w$.-]+\.(?:{FILES})\b",
        rf"(?:{own}(?:{BEFORE}|(?<=[^:/]/))/(?:{roots})/{NAMED}|{BEFORE}~(?=/{NAMED}))(?:/{NAMED})*/?",
        rf"{BEFORE}(?:/{NAMED})+/{NAMED}\.(?:{FILES})(?![\w/])",
    )
    return [Rule(PLACE, re.compile(one), lambda found: _last(found[0], machine)) for one in patterns]


def _last(path: str, machine: Machine) -> str:
    """Keep the last name of a path, unless it tells who works here: a home is called as its user is."""
    parts = [one for one in re.split(r"[\\/]+", path) if one]
    tells = any(one in parts[-1] for one in (*machine.user, *machine.host)) or path in machine.places
    home = len(parts) > 1 and parts[-2].casefold() in HOMES
    return PUT[PLACE] if tells or home or len(parts) < 2 else f"{PUT[PLACE]}/{parts[-1]}"


# --- people -----------------------------------------------------------------------------------------------------------

CODE = "T|H|mT|mH|weight|bias|linalg|norm|mean|shape|values|transpose|detach"
"""What stands at the end of a product of matrices, and is no domain."""
HOST = rf"(?!(?:[\w-]+\.)+(?:{CODE})(?![\w.-]))(?>(?:[\w-]+\.)+(?:xn--[\w-]+|[^\W\d_]{{2}}\w*))(?![(\[])"
IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
ADDRESSES = Rule(
    ADDRESS,
    re.compile(rf"(?<![\w.%+-])(?!git@)[\w.%+-]*[\w%+-]@(?:{HOST}|{IPV4})"),
    PUT[ADDRESS],
)


def _names(machine: Machine) -> list[Rule]:
    """Whole words that are no part of an id or of an address: on the Hub, people are often called as they are here."""
    return [
        Rule(NAME, re.compile(rf"(?<![\w/.-])(?:{'|'.join(map(re.escape, names))})(?![\w/-])"), f"[{what}]")
        for what, names in (("user", machine.user), ("host", machine.host))
        if names
    ]
