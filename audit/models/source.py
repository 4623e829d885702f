"""Where weights come from: a Hub id, a folder or an installed package, pinned by hash before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from audit.errors import InputError
from audit.installed import in_package, package_of
from audit.models.pull import Pulled, Ticker, hub_reachable, module_names, pulled
from audit.models.whole import refuse_damaged

__all__ = ["Source", "cache_folder", "file_hashes", "hub_reachable", "module_folders", "resolve"]

RECORDS = ("adaptation.json", "result.json")


@dataclass(frozen=True)
class Source:
    """Weights at rest: what they are called, at which revision, in which folder, with which hashes."""

    id: str
    revision: str | None
    folder: Path
    files: dict[str, str]
    license: str | None

    @property
    def sha256(self) -> str:
        """One hash over everything that an answer depends on: weights, config, tokenizer, adapter settings."""
        lines = [f"{name} {digest}" for name, digest in sorted(self.files.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def resolve(
    name: str,
    revision: str | None = None,
    gguf_file: str | None = None,
    *,
    weights: bool = True,
    tick: Ticker | None = None,
) -> Source:
    """Find weights and hash them.

    Parameters
    ----------
    name : str
        ``package:MODULE/PATH``, a local folder or GGUF file, or a Hub id.
    revision : str, optional
        Of a Hub id; what it resolves to is in the result.
    gguf_file : str, optional
        Name of a GGUF file in the folder; it is dequantised once and remembered as safetensors.
    weights : bool
        False finds config and tokenizer only, to look before loading.
    tick : callable, optional
        Told about the progress of a pull.

    Raises
    ------
    InputError
        If there is nothing of that name, or its files cannot be used.
    Unavailable
        If the Hub cannot be reached.
    """
    hub: Pulled | None = None
    path = Path(name).expanduser()
    if name.startswith("package:"):
        folder = _in_package(name)
    elif path.is_dir():
        folder = path
    elif path.is_file() and path.suffix == ".gguf":
        folder, gguf_file = path.parent, path.name
    elif path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(f"{name}: no such folder, GGUF file or Hub id (owner/name)")
    else:
        hub = pulled(name, revision, gguf_file, weights=weights, tick=tick)
        folder = hub.folder
    commit = hub.commit if hub else None
    if gguf_file is not None and not (folder / gguf_file).is_file():
        raise InputError(f"{name}: no file {gguf_file!r} in it")
    files = file_hashes(folder) if gguf_file is None else {gguf_file: _sha256(folder / gguf_file)}
    if hub is not None:
        refuse_damaged(name, folder, hub.said, files)
    if gguf_file is not None:
        return Source(name, commit, _dequantised(folder, gguf_file, files[gguf_file]), files, _license(folder))
    _refuse_code(name, folder)
    if not weights:
        return Source(name, commit, folder, files, _license(folder))
    if not any(_is_weights(file) for file in files) and "prompt.json" not in files:
        raise InputError(f"{name}: no safetensors weights in it; other formats are not loaded")
    _check_safetensors(folder, files)
    return Source(name, commit, folder, files, _license(folder))


def _in_package(name: str) -> Path:
    folder, module = in_package(name), package_of(name)
    if folder is None:
        raise InputError(f"{name}: the package {module!r} is not installed; install it, or set base to a folder")
    if not folder.is_dir():
        raise InputError(f"{name}: the package {module!r} has no folder {name.partition('/')[2]!r}")
    return folder


def module_folders(folder: Path) -> list[str]:
    """Name the inner folders in which a sentence encoder keeps what comes after the transformer, where there are any.

    A module without settings (a normalisation) may be named and have no folder.
    """
    return [name for name in module_names(folder) if (folder / name).is_dir()]


def file_hashes(folder: Path) -> dict[str, str]:
    """Hash the files of a folder that decide what a model answers: {name: sha256}; records of a run do not."""
    wanted = {".safetensors", ".json", ".txt", ".model", ".jinja", ".gguf"}
    inner = [folder / name for name in module_folders(folder)]
    places = [file for place in (folder, *inner) for file in sorted(place.iterdir())]
    files = [file for file in places if file.suffix in wanted and file.name not in RECORDS and file.is_file()]
    return {file.relative_to(folder).as_posix(): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf"))


def _check_safetensors(folder: Path, files: dict[str, str]) -> None:
    from safetensors import SafetensorError, safe_open

    for name in files:
        if name.endswith(".safetensors"):
            try:
                with safe_open(folder / name, framework="numpy") as tensors:
                    tensors.keys()
            except SafetensorError as error:
                raise InputError(f"{folder / name}: not a valid safetensors file ({error}); fetch it again") from None


def _refuse_code(name: str, folder: Path) -> None:
    """Refuse a model that only the code it brings can load."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        brought, type_ = config.get("auto_map"), str(config.get("model_type"))
    except (OSError, ValueError, AttributeError):
        return  # what is wrong with it is said by who reads it
    if not brought:
        return
    from transformers import CONFIG_MAPPING

    if type_ not in CONFIG_MAPPING:
        raise InputError(
            f"{name}: only code that it brings can load it (auto_map in its config.json), and such code is not run; "
            "choose a base of an architecture that transformers has"
        )


def _license(folder: Path) -> str | None:
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import ModelCard

    card = folder / "README.md"
    if not card.is_file():
        return None
    try:
        named = ModelCard.load(card, ignore_metadata_errors=True).data.to_dict().get("license")
    except (ValueError, OSError, yaml.YAMLError):
        return None
    several = named if isinstance(named, list) else [named] if named else []
    return ", ".join(map(str, several)) or None


# --- GGUF -----------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the folder of things that can be made again: dequantised weights, remembered answers."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "transfer-audit"


def _dequantised(folder: Path, gguf_file: str, digest: str) -> Path:
    """Return the folder of a GGUF file's weights as safetensors; they are made once."""
    remembered = cache_folder() / "gguf" / digest
    if not (remembered / "config.json").is_file():
        _dequantise(folder, gguf_file, remembered)
    return remembered


def _dequantise(folder: Path, gguf_file: str, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=gguf_file,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{folder / gguf_file}: cannot be read as GGUF ({str(error).splitlines()[0]})") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        os.replace(temporary, target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.is_dir():  # another process may have been first
            raise
