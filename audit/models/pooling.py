"""From token vectors to a sentence vector, as the repository of a sentence encoder says (``modules.json``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from audit.errors import InputError
from audit.models.embed import Pool, token_means
from audit.models.source import Source
from audit.models.weights import read_json

__all__ = ["longest_text", "pooling_of", "read_pooling"]

Step = Callable[[torch.Tensor], torch.Tensor]


def read_pooling(source: Source, device: torch.device) -> Pool:
    """Read how a repository of sentence-transformers makes one vector of a text.

    Parameters
    ----------
    source : Source
        Its folder holds ``modules.json`` and what that names.
    device : torch.device

    Returns
    -------
    callable
        From hidden states (n, s, d) and mask (n, s) to vectors (n, d').

    Raises
    ------
    InputError
        If a module is not one of Transformer, Pooling, Dense, Normalize, or the library would change a text before it
        is read.

    Notes
    -----
    The names and their meaning are those of sentence-transformers (``sentence_transformers.models``).
    """
    _refuse_more_than_pooling(source)
    pools: list[Pool] = []
    steps: list[Step] = []
    for name, folder in _modules(source):
        if name == "Transformer" and folder == source.folder:
            continue
        if name == "Pooling":
            pools = _pools(source, folder)
        elif name == "Dense":
            steps.append(_dense(source, folder, device))
        elif name == "Normalize":
            steps.append(lambda vectors: torch.nn.functional.normalize(vectors, dim=-1))
        else:
            raise InputError(
                f"{source.id}: its modules.json names {name!r} in {folder.name!r}, which is not known here"
            )
    if not pools:
        raise InputError(f"{source.id}: its modules.json names no pooling")

    def pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        vectors = torch.cat([one(hidden, mask) for one in pools], dim=-1)
        for step in steps:
            vectors = step(vectors)
        return vectors

    return pool


def pooling_of(base: Source, adapted: Source) -> Source:
    """Return whose pooling the adapted side is asked through: its own where its repository holds one, else the base's.

    Raises
    ------
    InputError
        If its own is another than the base's: vectors would differ for another reason than the adaptation.
    """
    if not (adapted.folder / "modules.json").is_file():
        return base
    ours, theirs = ([(name, _how(name, folder)) for name, folder in _modules(source)] for source in (base, adapted))
    if ours != theirs:
        raise InputError(
            f"{adapted.id}: its modules.json makes sentence vectors by {theirs}, the base {base.id} by {ours}; "
            "answers would not be comparable"
        )
    return adapted


def _modules(source: Source) -> list[tuple[str, Path]]:
    path = source.folder / "modules.json"
    modules = read_json(path)
    if not isinstance(modules, list) or any(not isinstance(one, dict) or "type" not in one for one in modules):
        raise InputError(f"{path}: not a list of modules with a type each")
    named = [(str(one["type"]).rsplit(".", 1)[-1], source.folder / str(one.get("path", ""))) for one in modules]
    if [name for name, _ in named[:2]] != ["Transformer", "Pooling"]:
        raise InputError(f"{path}: it does not begin with Transformer and Pooling, which is not known here")
    return named


def _how(name: str, folder: Path) -> list[str]:
    return _modes(read_json(folder / "config.json")) if name == "Pooling" else []


def _refuse_more_than_pooling(source: Source) -> None:
    """Refuse settings by which the library changes a text before it is read."""
    path, reading = source.folder / "config_sentence_transformers.json", source.folder / "sentence_bert_config.json"
    if path.is_file() and read_json(path).get("default_prompt_name"):
        raise InputError(f"{source.id}: it puts a default prompt before every text, which is not known here")
    if path.is_file() and read_json(path).get("truncate_dim"):
        raise InputError(f"{source.id}: it cuts its vectors short (truncate_dim), which is not known here")
    if reading.is_file() and read_json(reading).get("do_lower_case"):
        raise InputError(
            f"{source.id}: its sentence_bert_config.json lowers the case of texts, which is not known here"
        )


def longest_text(source: Source) -> int | None:
    """Return the number of tokens that the repository says are read of a text."""
    path = source.folder / "sentence_bert_config.json"
    length = read_json(path).get("max_seq_length") if path.is_file() else None
    if length is not None and not isinstance(length, int):
        raise InputError(f"{path}: max_seq_length = {length!r} is not a number of tokens")
    return length


def _first(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden[:, 0]


def _last(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]


def _highest(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden.masked_fill(mask[..., None] == 0, torch.finfo(hidden.dtype).min).amax(1)


def _sum_over_root(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return token_means(hidden, mask) * mask.sum(1, keepdim=True).to(hidden.dtype).sqrt()


def _weighted(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return token_means(hidden, mask * torch.arange(1, mask.shape[1] + 1, device=mask.device))


# in the order in which sentence-transformers concatenates them
POOLS: dict[str, Pool] = {
    "cls": _first,
    "max": _highest,
    "mean": token_means,
    "mean_sqrt_len_tokens": _sum_over_root,
    "weightedmean": _weighted,
    "lasttoken": _last,
}


def _pools(source: Source, folder: Path) -> list[Pool]:
    names = _modes(read_json(folder / "config.json"))
    unknown = [name for name in names if name not in POOLS]
    if unknown or not names:
        raise InputError(f"{source.id}: pooling {unknown or names!r} is not known here; choose from {', '.join(POOLS)}")
    return [POOLS[name] for name in names]


def _modes(settings: dict[str, Any]) -> list[str]:
    said = settings.get("pooling_mode", [])
    names = [said] if isinstance(said, str) else list(said)
    if names:
        return names
    switches = ((name, f"pooling_mode_{name}") for name in POOLS)  # as older versions of the library write it
    return [name for name, on in switches if any(settings.get(f"{on}{end}") for end in ("", "_token", "_tokens"))]


def _dense(source: Source, folder: Path, device: torch.device) -> Step:
    settings: dict[str, Any] = read_json(folder / "config.json")
    try:
        tensors = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{source.id}: {folder.name}/model.safetensors cannot be read ({error})") from None
    activation = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
    if activation not in ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid"):
        raise InputError(f"{source.id}: {folder.name} has the activation {activation!r}, which is not known here")
    function = getattr(torch.nn, activation)()
    weight = tensors["linear.weight"].to(device)
    bias = tensors["linear.bias"].to(device) if "linear.bias" in tensors else None
    return lambda vectors: function(
        torch.nn.functional.linear(vectors, weight.to(vectors.dtype), None if bias is None else bias.to(vectors.dtype))
    )
