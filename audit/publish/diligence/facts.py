"""What can be read about a model before it is loaded: from the Hub, or from a folder, which says less."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.installed import in_package, package_of

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

__all__ = ["CONFIGS", "READ", "Facts", "Link", "Token", "link", "look", "look_up", "names"]

Token = str | bool | None

CONFIGS = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
READ = ("README.md", "adapter_config.json", *CONFIGS)
LICENCES = ("LICENSE", "LICENCE", "COPYING")
SMALL = 1 << 23  # bytes of a text that is read
TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Facts:
    """What was read of a model, and why the rest was not.

    Attributes
    ----------
    id, revision
        On the Hub as it is called now and its commit; of a folder only its last name.
    asked
        As it was asked for.
    absent
        Why there is no such model, empty where there is one.
    trouble
        Why nothing could be read, empty where something could.
    folder
        Where it lies, unless on the Hub.
    files
        Sizes in bytes by path.
    card
        The metadata of its card; ``None`` without a card that can be read.
    texts, unread
        Small files, and why others could not be read.
    hub
        What only the Hub knows; ``None`` for a folder.
    """

    id: str
    revision: str | None = None
    asked: str = ""
    absent: str = ""
    trouble: str = ""
    folder: Path | None = None
    files: Mapping[str, int | None] = field(default_factory=dict)
    card: Mapping[str, Any] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    hub: Mapping[str, Any] | None = None

    def table(self, name: str) -> dict[str, Any] | None:
        """Return a JSON file that was read, ``None`` where it was not or is no table."""
        try:
            read = json.loads(self.texts[name])
        except (KeyError, ValueError, RecursionError):
            return None
        return read if isinstance(read, dict) else None


@dataclass(frozen=True)
class Link:
    """One model of a chain of bases: what it is called now, its licence, whom it names; or why that is not known."""

    id: str
    license: str | None = None
    card_names: tuple[str, ...] = ()
    adapter_names: str | None = None
    trouble: str = ""
    absent: bool = False

    @property
    def bases(self) -> tuple[str, ...]:
        """Whom it names as its base, the card first."""
        return self.card_names or ((self.adapter_names,) if self.adapter_names else ())


def look(source: str, revision: str | None, token: Token) -> Facts:
    """Read what can be read about a model: a Hub id, a folder, a GGUF file or ``package:MODULE/PATH``."""
    path = Path(source).expanduser()
    if source.startswith("package:"):
        place = in_package(source)
        if place is None:
            return Facts(source, absent=f"the package {package_of(source)!r} is not installed")
        path = place
    if path.is_file():
        path = path.parent
    if path.is_dir():
        return _in_folder(source if source.startswith("package:") else f"./{path.resolve().name}", path)
    if source.startswith(("package:", ".", "/", "~")) or source.count("/") > 1:
        return Facts(f"./{path.name}", absent="there is no such folder")
    return _on_hub(source, revision, token)


def names(value: object) -> tuple[str, ...]:
    """Return what a card says once or as a list."""
    listed = value if isinstance(value, list) else [] if value in (None, "") else [value]
    return tuple(str(one) for one in listed)


def link(facts: Facts) -> Link:
    """Return what a model that was read contributes to the chain."""
    card = facts.card or {}
    adapter = (facts.table("adapter_config.json") or {}).get("base_model_name_or_path")
    if not adapter and facts.hub:
        kept = facts.hub["config"]
        peft = kept.get("peft") if isinstance(kept, dict) else None
        adapter = peft.get("base_model_name_or_path") if isinstance(peft, dict) else None
    trouble = facts.absent or facts.trouble or ("" if facts.card is not None else "it has no card that can be read")
    return Link(
        facts.id,
        ", ".join(names(card.get("license"))) or None,
        names(card.get("base_model")),
        str(adapter) if adapter else None,
        trouble,
        bool(facts.absent),
    )


# --- a folder ---------------------------------------------------------------------------------------------------------


def _in_folder(id: str, folder: Path) -> Facts:
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    texts, unread = {}, _too_large(files)
    for name in [one for one in _wanted(files) if one not in unread]:
        try:
            texts[name] = (folder / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            unread[name] = f"it cannot be read ({type(error).__name__})"
    card = _metadata(texts["README.md"]) if "README.md" in texts else None
    if card is None and "README.md" in texts:
        unread["README.md"] = "its front matter cannot be read"
    return Facts(id, folder=folder, files=files, card=card, texts=texts, unread=unread)


def _metadata(text: str) -> dict[str, Any] | None:
    from huggingface_hub import ModelCard

    try:
        return dict(ModelCard(text, ignore_metadata_errors=True).data.to_dict())  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 (it is foreign text: whatever its reader raises, it cannot be read)
        return None


def _wanted(files: Mapping[str, int | None]) -> list[str]:
    texts = [name for name in files if "/" not in name and name.upper().startswith(LICENCES)]
    return [name for name in (*READ, *sorted(texts)) if name in files]


def _too_large(files: Mapping[str, int | None]) -> dict[str, str]:
    return {name: f"it is larger than {SMALL} bytes" for name in _wanted(files) if (files[name] or 0) > SMALL}


# --- the Hub ----------------------------------------------------------------------------------------------------------


def _on_hub(source: str, revision: str | None, token: Token) -> Facts:
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        info = api.model_info(source, revision=revision, files_metadata=True, securityStatus=True, timeout=TIMEOUT)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is one of the answers)
        absent, trouble = _why(error, revision)
        return Facts(source, revision, absent=absent, trouble=trouble)
    files = {one.rfilename: one.size for one in info.siblings or []}
    texts, unread = {}, _too_large(files)
    for name in [one for one in _wanted(files) if one not in unread]:
        try:
            read = api.hf_hub_download(info.id, name, revision=info.sha)
            texts[name] = Path(read).read_text(encoding="utf-8")
        except Exception as error:  # noqa: BLE001
            unread[name] = " ".join(_why(error, revision)).strip()
            if "gated" in unread[name]:  # so are the others
                unread |= dict.fromkeys(_wanted(files), unread[name])
                break
    card = _card(info)
    if card is None and "README.md" in texts:  # a card without metadata says nothing, but it is there
        card = _metadata(texts["README.md"])
    hub = {
        "private": info.private,
        "gated": info.gated,
        "disabled": info.disabled,
        "security": info.security_repo_status,
        "parameters": dict(info.safetensors.parameters) if info.safetensors else None,
        "last_modified": info.last_modified.isoformat() if info.last_modified else None,
        "downloads": info.downloads,
        "likes": info.likes,
        "config": info.config,
    }
    return Facts(info.id, info.sha, source, files=files, card=card, texts=texts, unread=unread, hub=hub)


def look_up(name: str, token: Token) -> Link:
    """Ask the Hub whom a model names as its base, with one request."""
    from huggingface_hub import HfApi

    try:
        info = HfApi(token=token).model_info(name, expand=["cardData", "config"], timeout=TIMEOUT)
    except Exception as error:  # noqa: BLE001
        absent, trouble = _why(error, None)
        return Link(name, trouble=absent or trouble, absent=bool(absent))
    return link(Facts(info.id, card=_card(info), hub={"config": info.config}))


def _card(info: ModelInfo) -> dict[str, Any] | None:
    return dict(info.card_data.to_dict()) if info.card_data is not None else None  # type: ignore[no-untyped-call]


def _why(error: Exception, revision: str | None) -> tuple[str, str]:
    """Say in our own words that there is no such thing, or why it cannot be known: never what the error quotes."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return "", "it is gated, and this account was not let in"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision!r} on the Hub", ""
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return "there is no such model on the Hub, or this account may not see it", ""
    if isinstance(error, HfHubHTTPError) and not isinstance(error, LocalEntryNotFoundError):
        return "", f"the Hub answered {error.response.status_code}"
    if isinstance(error, OSError) or "HTTP" in "".join(one.__name__ for one in type(error).__mro__):
        return "", "the Hub cannot be reached"
    return "", f"what the Hub answered cannot be read ({type(error).__name__})"
