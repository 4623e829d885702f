"""Where weights come from: a Hub id, a folder or an installed package, pinned by hash before anything is loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from audit.errors import InputError, Unavailable

__all__ = ["Source", "cache_folder", "file_hashes", "hub_reachable", "module_folders", "resolve"]

RECORDS = ("adaptation.json", "result.json")
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "README.md", "LICENSE*"]


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


def resolve(name: str, revision: str | None = None, gguf_file: str | None = None, *, weights: bool = True) -> Source:
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

    Raises
    ------
    InputError
        If there is nothing of that name, or its files cannot be used.
    Unavailable
        If the Hub cannot be reached.
    """
    commit = None
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
        folder, commit = _from_hub(name, revision, gguf_file, weights)
    if gguf_file is not None:
        return _from_gguf(name, commit, folder, gguf_file)
    files = file_hashes(folder)
    if not weights:
        return Source(name, commit, folder, files, _license(folder))
    if not any(_is_weights(file) for file in files) and "prompt.json" not in files:
        raise InputError(f"{name}: no safetensors weights in it; other formats are not loaded")
    _check_safetensors(folder, files)
    return Source(name, commit, folder, files, _license(folder))


def _in_package(name: str) -> Path:
    module, _, inside = name.removeprefix("package:").partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{name}: the package {module!r} is not installed; install it, or set base to a folder")
    folder = Path(next(iter(spec.submodule_search_locations))) / inside
    if not folder.is_dir():
        raise InputError(f"{name}: the package {module!r} has no folder {inside!r}")
    return folder


def _from_hub(name: str, revision: str | None, gguf_file: str | None, weights: bool) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub_reachable()
    patterns = [gguf_file, "README.md", "LICENSE*"] if gguf_file else WANTED if weights else WANTED[1:]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))
        inner = [f"{module}/{file}" for module in _modules(folder) for file in ("config.json", "*.safetensors")]
        if inner:
            snapshot_download(name, revision=folder.name, allow_patterns=inner)
    except GatedRepoError:
        raise InputError(f"{name}: gated on the Hub; accept its terms there and log in with a token") from None
    except RevisionNotFoundError:
        raise InputError(f"{name}: no revision {revision!r} on the Hub") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(f"{name}: no such folder here and no such model on the Hub (or it is private)") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise Unavailable(
            f"{name}: the Hub cannot be reached, and the model is not in its cache ({type(error).__name__})"
        ) from None
    return folder, folder.name


def hub_reachable() -> bool:
    """Ask the Hub once whether it is there; where it is not, its clients read their caches and do not retry.

    A client retries a lost connection for half a minute. One short question first lets a machine without a network
    say so at once.
    """
    import datasets
    import huggingface_hub
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        try:
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=10)
        except Exception:  # noqa: BLE001 (whatever the transport raises, the Hub is not there)
            constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    return not constants.HF_HUB_OFFLINE


def module_folders(folder: Path) -> list[str]:
    """Name the inner folders in which a sentence encoder keeps what comes after the transformer, where there are any.

    A module without settings (a normalisation) may be named and have no folder.
    """
    return [name for name in _modules(folder) if (folder / name).is_dir()]


def _modules(folder: Path) -> list[str]:
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        names = [str(module["path"]) for module in modules if module["path"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if re.fullmatch(r"[A-Za-z0-9_-]+", name)]


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
    return str(named) if named else None


# --- GGUF -----------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Return the folder of things that can be made again: dequantised weights, remembered answers."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "transfer-audit"


def _from_gguf(name: str, commit: str | None, folder: Path, gguf_file: str) -> Source:
    path = folder / gguf_file
    if not path.is_file():
        raise InputError(f"{name}: no file {gguf_file!r} in it")
    digest = _sha256(path)
    remembered = cache_folder() / "gguf" / digest
    if not (remembered / "config.json").is_file():
        _dequantise(folder, gguf_file, remembered)
    return Source(name, commit, remembered, {gguf_file: digest}, _license(folder))


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
