"""The files of an adapted model that are published: what loading it needs, saying of nothing where it lay."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from audit.errors import InputError
from audit.publish.bundle.manifest import sha256
from audit.publish.bundle.redact import redactor
from audit.report import BaseModelRecord, Report

__all__ = ["checkpoint", "on_hub"]

ALLOWED = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json",
    "head.json", "prompt.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.model", "chat_template.json", "*.jinja",
    "preprocessor_config.json", "processor_config.json", "image_processor_config.json", "modules.json",
    "config_sentence_transformers.json", "sentence_*_config.json",
)  # fmt: skip
INSIDE = ("config.json", "*_config.json", "*.safetensors")
"""Of the folders that ``modules.json`` names."""
BASES = {"adapter_config.json": "base_model_name_or_path", "head.json": "base", "prompt.json": "base"}
PLACED = ("_name_or_path", "name_or_path", "tokenizer_name_or_path", "tokenizer_file", "vocab_file", "merges_file",
          "cache_dir")  # fmt: skip
"""Keys that say where something lay when it was loaded; nothing reads them from a file."""
READ = ("tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json", "chat_template.json",
        "prompt.json", "modules.json", "*.index.json")  # fmt: skip
READ_KEYS = re.compile(r".*_token|.*_tokens|added_tokens_decoder|chat_template|prompts?")
"""What a model is told, or found by: another text there would be another model."""


def on_hub(base: BaseModelRecord) -> bool:
    """Tell whether a base can be pulled from the Hub by everybody who reads about it."""
    return base.revision is not None and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base.id) is not None


def checkpoint(run: Path, report: Report) -> tuple[dict[str, bytes | Path], dict[str, str]]:
    """Collect the model of the first seed.

    Parameters
    ----------
    run : Path
        Folder of a run that adapted a base.
    report : Report
        Its own, as it lies there.

    Returns
    -------
    files : dict of str to bytes or Path
        By path in the repository; weights, and whatever is published as it is, as paths.
    rewritten : dict of str to str
        Of each file that is not the one that was audited, why. Weights never are among them.

    Raises
    ------
    InputError
        If a file is not the one that was audited, an adapter, head or prompt has a base that nobody could load, a
        prompt quotes texts that may not leave, or something private cannot be taken out without making it another
        model.
    """
    folder = run / "models" / f"seed-{report.adapted.seeds[0]}"
    found = _found(folder)
    _refuse_unlike(folder, found, report.adapted.files)
    _refuse_unloadable(folder, found, report)
    files: dict[str, bytes | Path] = {}
    rewritten = {}
    for name, path in found.items():
        files[name] = path
        public = on_hub(report.base) and report.base.files.get(name) == report.adapted.files.get(name)
        if name.endswith(".json") and not public:
            content, why = _rewritten(name, path, report.base)
            if why:
                files[name], rewritten[name] = content, "; ".join(why)
    return files, rewritten


def _found(folder: Path) -> dict[str, Path]:
    files = {one.name: one for one in sorted(folder.glob("*")) if _is_allowed(one.name, ALLOWED) and one.is_file()}
    templates = sorted(folder.glob("additional_chat_templates/*.jinja"))
    inner = [one for name in _modules(folder) for one in sorted((folder / name).glob("*"))]
    inside = [one for one in inner if _is_allowed(one.name, INSIDE) and one.is_file()]
    return files | {one.relative_to(folder).as_posix(): one for one in [*templates, *inside]}


def _is_allowed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, one) for one in patterns)


def _modules(folder: Path) -> list[str]:
    """Inner folders of a sentence encoder; a name that leads elsewhere is none."""
    path = folder / "modules.json"
    listed = _table(path) if path.is_file() else []
    names = [str(one.get("path", "")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name)]


def _table(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({type(error).__name__}); run the recipe again") from None


# --- what is refused --------------------------------------------------------------------------------------------------


def _refuse_unlike(folder: Path, found: Mapping[str, Path], audited: Mapping[str, str]) -> None:
    if not found:
        raise InputError(f"{folder}: there is no model in it; run the recipe again")
    missing = next((name for name in audited if name not in found), None)
    if missing is not None:
        gone = not (folder / missing).is_file()
        why = "is gone" if gone else "is no file that a model is known to be loaded from"
        raise InputError(f"{folder / missing}: {why}, but it was audited; run the recipe again with --fresh")
    for name, path in found.items():
        if name in audited and sha256(path) != audited[name]:
            raise InputError(f"{path}: is not the file that was audited; run the recipe again with --fresh")


def _refuse_unloadable(folder: Path, found: Mapping[str, Path], report: Report) -> None:
    what = next((name for name in ("adapter", "head", "prompt") if name in _kinds(found)), None)
    packed = any(name.endswith(".gguf") for name in report.base.files)
    if what and (packed or not on_hub(report.base)):
        raise InputError(
            f"{folder}: the {what} alone is of no use to anybody who cannot load its base, which is not on the Hub as "
            'safetensors; publish the base, name it in the recipe (base = "owner/name"), and run that'
        )
    if "prompt.json" in found and report.provenance.evidence != "full":
        examples = _table(found["prompt.json"]).get("examples") or []
        if examples:
            raise InputError(
                f"{found['prompt.json']}: it quotes {len(examples)} texts of the training data, and [publish] "
                f'evidence = "{report.provenance.evidence}" keeps texts private; set it to "full", or [adapt] shots = 0'
            )


def _kinds(found: Mapping[str, Path]) -> set[str]:
    """What hangs on a base: an adapter; a head or a prompt without a checkpoint beside it."""
    if "adapter_config.json" in found:
        return {"adapter"}
    return set() if "config.json" in found else {name for name in ("head", "prompt") if f"{name}.json" in found}


# --- what is rewritten ------------------------------------------------------------------------------------------------


def _rewritten(name: str, path: Path, base: BaseModelRecord) -> tuple[bytes, list[str]]:
    """Take places out of a file, and let it name its base as the Hub does; say what was done."""
    said = _table(path)
    why = []
    if name in BASES and isinstance(said, dict):
        key = BASES[name]
        known = on_hub(base)
        told = base.id if known or base.id.startswith("package:") else ""
        if (said.get(key), said.get("revision")) != (told, base.revision):
            said[key], said["revision"] = told, base.revision
            why.append("it names its base as the Hub does" if known else "it does not name a base that is not public")
    clean = redactor()
    taken = _cleaned(name, path, said, clean)
    if taken != said:
        why.append("what is private was taken out of it")
    return json.dumps(taken, indent=2).encode() + b"\n", why


def _cleaned(name: str, path: Path, value: Any, clean: Callable[[str], str], read: bool = False) -> Any:
    read = read or _is_allowed(name, READ)
    if isinstance(value, str):
        taken = clean(value)
        if read and taken != value:
            raise InputError(
                f"{path}: what the model is told holds something private (an address, a path, a token); "
                "without it it would be another model: change it, and run the recipe again"
            )
        return taken
    if isinstance(value, list):
        listed = [_cleaned(name, path, one, clean, read) for one in value]
        _refuse_merged(path, [one for one in value if isinstance(one, str)], clean)
        return listed
    if isinstance(value, dict):
        if name == "tokenizer.json" and "vocab" in value:  # words of nobody
            return {key: one if key in ("vocab", "merges") else _cleaned(name, path, one, clean, True)
                    for key, one in value.items()}  # fmt: skip
        kept = {key: one for key, one in value.items() if not (key in PLACED and clean(str(one)) != str(one))}
        _refuse_merged(path, list(kept), clean)
        return {
            clean(key): _cleaned(name, path, one, clean, read or READ_KEYS.fullmatch(key) is not None)
            for key, one in kept.items()
        }
    return value


def _refuse_merged(path: Path, names: list[str], clean: Callable[[str], str]) -> None:
    if len({clean(one) for one in names}) < len(set(names)):
        raise InputError(
            f"{path}: two names in it (labels, say) differ only by something private (an address, a path, a token); "
            "name them otherwise, and run the recipe again"
        )
