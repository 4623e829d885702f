"""What lies in a repository or folder: formats, code, scans, parameters, size."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import JsonValue

from audit.diligence import Check
from audit.publish.diligence.facts import CONFIGS, Facts
from audit.publish.diligence.papers import answer

__all__ = ["CONTENTS"]

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill")
PACKED = (".zip", ".npz", ".tar", ".gz", ".nemo", ".mar", ".7z", ".keras")
LOADED = (".safetensors", ".gguf")
DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
SHOWN = 20  # files that evidence lists


def formats(facts: Facts) -> Check:
    """Ask in which formats the weights come."""
    if not facts.files:
        return answer("formats", "unknown", facts.absent or facts.trouble or "no files are listed")
    loaded, pickled, packed = (_ending(facts, ends) for ends in (LOADED, PICKLED, PACKED))
    evidence: dict[str, JsonValue] = {
        "loaded": [*loaded[:SHOWN]],
        "pickles": [*pickled[:SHOWN]],
        "archives": [*packed[:SHOWN]],
        "counts": [len(loaded), len(pickled), len(packed)],
    }
    if not loaded:
        what = f"only as pickles, {pickled[0]!r} first" if pickled else "in none of the formats that are loaded"
        return answer("formats", "fail", f"its weights come {what}; safetensors or GGUF would do", **evidence)
    if pickled or packed:
        beside = (pickled + packed)[0]
        return answer("formats", "warn", f"beside its weights lies {beside!r}, which can hold a program", **evidence)
    return answer("formats", "pass", f"{loaded[0].rpartition('.')[2]} alone", **evidence)


def _ending(facts: Facts, ends: tuple[str, ...]) -> list[str]:
    return sorted(name for name in facts.files if name.lower().endswith(ends))


def remote_code(facts: Facts) -> Check:
    """Ask whether it brings code that loading it would run."""
    if not facts.files:
        return answer("remote code", "unknown", facts.absent or facts.trouble or "no files are listed")
    programs = _ending(facts, (".py",))
    tables = {name: facts.table(name) for name in CONFIGS if name in facts.texts}
    mapped: dict[str, JsonValue] = {
        name: table["auto_map"] for name, table in tables.items() if table and "auto_map" in table
    }
    if programs or mapped:
        said = f"{next(iter(mapped), None) or programs[0]!r} brings code; it is not run here unless a recipe says so"
        return answer("remote code", "warn", said, auto_map=mapped, files=[*programs[:SHOWN]])
    closed = {name: facts.unread[name] for name in CONFIGS if name in facts.unread}
    closed |= {name: "it is not valid JSON" for name, table in tables.items() if table is None}
    if closed:
        said = "; ".join(f"{name}: {why}" for name, why in closed.items())
        return answer("remote code", "unknown", said)
    return answer("remote code", "pass", "it brings no code", auto_map={}, files=[])


def scan_status(facts: Facts) -> Check:
    """Ask what the Hub's scanners found."""
    status = facts.hub["security"] if facts.hub else None
    if not isinstance(status, dict):
        return answer("scan", "unknown", facts.absent or facts.trouble or "only the Hub scans")
    raw: JsonValue = json.loads(json.dumps(status))
    issues = [one for one in status.get("filesWithIssues") or [] if isinstance(one, dict)]
    unsafe = [one for one in issues if one.get("level") == "unsafe"]
    if unsafe:
        return answer("scan", "fail", f"the Hub calls {str(unsafe[0].get('path'))!r} unsafe", status=raw)
    if issues:
        first = issues[0]
        said = f"the Hub says of {str(first.get('path'))!r}: {str(first.get('level'))!r}"
        return answer("scan", "warn", said, status=raw)
    if status.get("scansDone") is not True:
        return answer("scan", "unknown", "the Hub has not scanned it yet", status=raw)
    return answer("scan", "pass", "the Hub's scanners found nothing", status=raw)


def parameters(facts: Facts) -> Check:
    """Ask how many parameters the safetensors hold, and whether that fits the config."""
    counts = facts.hub["parameters"] if facts.hub else _counted(facts)
    if not counts:
        why = facts.absent or facts.trouble or "without safetensors they cannot be counted unless it is loaded"
        return answer("parameters", "unknown", why)
    total = sum(counts.values())
    evidence: dict[str, JsonValue] = {"by_dtype": dict(counts), "total": total}
    config = facts.table("config.json")
    if config is None:
        why = facts.unread.get("config.json", "there is no config to compare them with")
        return answer("parameters", "unknown", f"{total:,} in the safetensors; {why}", **evidence)
    inner = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    said = [config.get(name) or inner.get(name) for name in ("dtype", "torch_dtype")]
    dtype = next((one for one in said if isinstance(one, str)), None)
    width = next((inner[name] for name in ("embedding_size", "hidden_size", "n_embd") if _whole(inner.get(name))), 0)
    least = inner["vocab_size"] * width if _whole(inner.get("vocab_size")) else 0
    evidence |= {"config_dtype": dtype, "embedding": least}
    packed = "quantization_config" in config
    if not packed and total < least:
        said_ = f"{total:,} parameters, fewer than the {least:,} that the embedding of its config has"
        return answer("parameters", "fail", said_, **evidence)
    most = max(counts, key=lambda one: counts[one])
    if not packed and dtype in DTYPES and most != DTYPES[dtype]:
        return answer("parameters", "warn", f"{total:,}, stored as {most}; its config says {dtype!r}", **evidence)
    return answer("parameters", "pass", f"{total:,}, stored as {most}", **evidence)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _counted(facts: Facts) -> dict[str, int]:
    """Count the parameters of a folder from the headers of its safetensors."""
    from safetensors import SafetensorError, safe_open

    counts: dict[str, int] = {}
    for name in _ending(facts, (".safetensors",)) if facts.folder else ():
        try:
            with safe_open(facts.folder / name, framework="numpy") as tensors:  # type: ignore[operator]
                for key in tensors.keys():  # noqa: SIM118 (it is no mapping)
                    part: Any = tensors.get_slice(key)
                    counts[part.get_dtype()] = counts.get(part.get_dtype(), 0) + math.prod(part.get_shape())
        except (SafetensorError, OSError):
            return {}
    return counts


def size(facts: Facts) -> Check:
    """Ask how much there is to pull."""
    if not facts.files or None in facts.files.values():
        return answer("size", "unknown", facts.absent or facts.trouble or "the sizes of its files are not listed")
    total = sum(one or 0 for one in facts.files.values())
    return answer(
        "size", "pass", f"{total / 1e6:,.1f} MB in {len(facts.files)} files", bytes=total, files=len(facts.files)
    )


CONTENTS = (formats, remote_code, scan_status, parameters, size)
