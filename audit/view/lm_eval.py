"""The logs of lm-evaluation-harness as a view: two runs are audited without a model."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from audit.errors import InputError
from audit.view.item import Item
from audit.view.question import View
from audit.view.recorded import replay

__all__ = ["read_lm_eval"]

FILE = re.compile(r"samples_(.+)_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?\.jsonl")
KINDS = "loglikelihood, loglikelihood_rolling or multiple_choice"
OTHER = f"holds no log-likelihoods of texts; log the task as {KINDS}, with lm-eval 0.4.4 or later"


def read_lm_eval(path: Path, *, id: str | None = None) -> tuple[View, list[Item]]:
    """Read what ``lm_eval --log_samples`` wrote of one task.

    Parameters
    ----------
    path : Path
        A ``samples_<task>_<time>.jsonl``; rows of the filter "none" are read.
    id : str, optional
        Of the view; a hash of the file where it is left out.

    Returns
    -------
    view : View
        A causal one. It answers, in nats, ``log_likelihood`` of texts (loglikelihood_rolling) and of pairs (two options
        and no prompt, as in CrowS-Pairs and BLiMP), or ``option_log_likelihood`` (multiple_choice, loglikelihood).
    items : list of Item
        In file order. An id names a document, not its position; a cluster is a document. ``label`` is the option that
        the target means, by position or text; None where these differ.

    Raises
    ------
    InputError
        If the file cannot be read or is empty, or a row is broken, repeats another, is not finite, has no
        log-likelihoods, or differs in shape from the first; names file and row.

    Notes
    -----
    Two runs over the same documents have equal ids even if their prompts differ (a chat template, few-shot examples):
    whether they were asked the same, `audit.view.fingerprint` of their items tells. Compare a log with a log, not with
    a loaded model: the harness cuts texts into windows and options into tokens in its own way.

    The format: ``save_results_samples`` of https://github.com/EleutherAI/lm-evaluation-harness, 0.4.4 to 0.4.13.
    """
    rows, digest = _rows(path)
    task = named[1] if (named := FILE.fullmatch(path.name)) else path.stem
    asked, wordings, seen, shapes = [], dict[str, set[str]](), dict[tuple[str, str], int](), dict[str, int]()
    for number, row in rows:
        try:
            content, nats = _asked(row)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = error if isinstance(error, InputError) else OTHER
            raise InputError(f"{path}: row {number} {reason}") from None
        wording = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        document = str(row.get("doc_hash") or wording)[:16]
        # doc_id alone names no document: with --samples it can stand on another document's row
        before = seen.setdefault((str(row.get("doc_id")), document), number)
        if before != number:
            raise InputError(f"{path}: row {number} repeats row {before}; keep the rows of one run")
        shapes.setdefault(f"{len(nats)} options" if "options" in content else f"a {next(iter(content))}", number)
        if len(shapes) > 1:
            (first, at), (other, _) = shapes.items()
            raise InputError(f"{path}: row {number} is {other}, row {at} is {first}; split the log, a file for each")
        wordings.setdefault(document, set()).add(wording)
        asked.append((document, wording, content, nats))
    items, answers, times = [], [], Counter[str]()
    question = "option_log_likelihood" if "options" in asked[0][2] else "log_likelihood"
    for document, wording, content, nats in asked:
        # a data set may say a document twice; where few-shot examples are drawn anew, the wording tells them apart
        name = document if len(wordings[document]) == 1 else f"{document}-{wording[:8]}"
        times[name] += 1
        name += f"-{times[name] - 1}" if times[name] > 1 else ""
        items.append(Item(id=name, cluster=document, source=f"lm-eval:{task}", **content))
        answers += [(name, question, index, value) for index, value in enumerate(nats)]
    table = pd.DataFrame(answers, columns=["id", "question", "index", "value"])
    return replay(table, id=id or f"lm-eval:{digest}", kind="causal"), items


def _rows(path: Path) -> tuple[list[tuple[int, dict[str, Any]]], str]:
    """Rows of the filter "none" with their line numbers, and the hash of the file."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a file that lm_eval --log_samples wrote") from None
    by_filter: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
                by_filter.setdefault(str(row.get("filter", "none")), []).append((number, row))
            except (ValueError, AttributeError) as error:
                raise InputError(f"{path}: row {number} is no JSON object: {error}; log the run again") from None
    if "none" not in by_filter:
        found = f"only rows of the filters {', '.join(by_filter)}" if by_filter else "no rows"
        raise InputError(f"{path}: {found}; log-likelihoods are logged under the filter none")
    return by_filter["none"], hashlib.sha256(raw).hexdigest()


def _asked(row: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """Tell the kind of a row by its requests: the content of an item, and the log-likelihoods of its parts."""
    requests = [row["arguments"][f"gen_args_{n}"] for n in range(len(row["arguments"]))]  # 10 may stand before 2
    if any(isinstance(one.get("arg_1"), dict) for one in requests):
        raise InputError(f"is generated text, which has no log-likelihood; log the task as {KINDS}")
    answers = [repeats[0] for repeats in row["resps"]]
    rolling = [list(one) for one in requests] == [["arg_0"]]
    contexts, texts = [one["arg_0"] for one in requests], [one["arg_0" if rolling else "arg_1"] for one in requests]
    leaves = answers if rolling else [one[0] for one in answers if isinstance(one, list)]  # [1] says: was it greedy?
    shaped = {len(one) for one in requests} == {2 - rolling} and len(leaves) == len(requests)
    if not shaped or not all(isinstance(text, str) for text in contexts + texts):
        raise InputError(OTHER)
    if "" in texts:
        raise InputError("scores an empty text, which has no likelihood to compare; drop the row from both logs")
    nats = [float(leaf) for leaf in leaves]
    if not all(math.isfinite(one) for one in nats):
        raise InputError(f"has the log-likelihoods {nats}; run the model in float32, or drop the row from both logs")
    if rolling:
        return {"text": texts[0]}, nats
    half = len(texts) // 2
    if not any(contexts[half:]) and texts[:half] == texts[half:] and (half > 1 or contexts[0]):
        contexts, texts, nats = contexts[:half], texts[:half], nats[:half]  # acc_mutual_info: the options, then alone
    if contexts == ["", ""]:
        return {"pair": texts}, nats
    if len(set(contexts)) > 1 or (len(texts) > 1 and len(set(texts)) == 1):
        raise InputError("has its options in the prompt (as winogrande does); log whole sentences, without a prompt")
    return {"prompt": contexts[0], "options": texts, "label": _label(str(row.get("target")), texts)}, nats


def _label(target: str, options: list[str]) -> str | None:
    """Give the option that a target means; None where position and text tell different ones, or neither tells."""
    meant = [option for option in options if option.strip() == target.strip()][:1]
    if target.isdecimal() and int(target) < len(options):
        meant.append(options[int(target)])
    return meant[0] if len(set(meant)) == 1 else None
