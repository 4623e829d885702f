"""Images of a task: folders of them, columns of paths, and what the Hub gives as bytes; each opened once."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from audit.errors import InputError

if TYPE_CHECKING:
    from audit.recipe import Task

__all__ = ["image_folder", "image_paths", "kept_image"]


def image_folder(path: Path, task: Task, split: str) -> pd.DataFrame:
    """List images that lie in folders named after their labels, as rows; the labels take turns.

    Raises
    ------
    InputError
        If the folders are not called as the recipe's labels, or one holds no image.
    """
    folders = {one.name: one for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith(".")}
    strange = [name for name in folders if name not in task.names]
    if strange or not folders:
        raise InputError(
            f"{path}: its folders are {', '.join(folders) or 'none'}, and [task] labels are {', '.join(task.names)}"
        )
    endings = _endings()
    rows = []
    for label, folder in folders.items():
        files = [one for one in sorted(folder.iterdir()) if one.suffix.lower() in endings and one.name[0] != "."]
        if not files:
            raise InputError(f"{folder}: no image in this folder (.png, .jpg, .webp, …)")
        rows += [
            (n, label, str(file), "/".join(filter(None, (split, label, file.name)))) for n, file in enumerate(files)
        ]
    rows.sort(key=lambda row: row[:2])  # so that the first rows hold every label
    return pd.DataFrame([row[1:] for row in rows], columns=[task.label, task.image or "image", "id"])


def image_paths(values: Iterable[object], column: str, where: str, beside: Path) -> list[str]:
    """Return the files of a column of images, each opened once.

    Parameters
    ----------
    values : iterable
        Paths, relative to where the table lies; or images as the Hub's tables hold them (bytes and a name).
    column, where : str
        For errors.
    beside : Path
        Folder of the table.

    Raises
    ------
    InputError
        If one is missing, or is not an image that can be read; names row and file.
    """
    paths = []
    for number, value in enumerate(values):
        row = f"{where}: row {number}"
        if isinstance(value, dict):
            value = kept_image(value, row)
        if not isinstance(value, str) or not value:
            raise InputError(f"{row} of column {column!r} is {value!r:.80}, not the path of an image")
        path = beside / Path(value).expanduser()
        _verify(path, row)
        paths.append(str(path))
    return paths


def kept_image(image: dict[str, Any], row: str) -> str:
    """Write an image's bytes once into the cache, under their hash; return the path.

    Raises
    ------
    InputError
        If there is none, or it is none that can be read.
    """
    from audit.models.source import cache_folder

    content, path = image.get("bytes"), image.get("path")
    if not content:
        if not path:
            raise InputError(f"{row} holds no image")
        return str(path)
    folder = cache_folder() / "images"
    target = folder / f"{hashlib.sha256(content).hexdigest()}.{_format(content, row)}"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, target)
    return str(target)


def _format(content: bytes, row: str) -> str:
    from io import BytesIO

    image = _pillow()
    try:
        with image.open(BytesIO(content)) as opened:
            return str(opened.format).lower()
    except (OSError, ValueError, SyntaxError):
        raise InputError(f"{row}: its {len(content)} bytes are not an image that can be read") from None


def _verify(path: Path, row: str) -> None:
    image = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path) as opened:
                mode = opened.mode
                opened.verify()
    except FileNotFoundError:
        raise InputError(f"{row}: there is no image {path}") from None
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError, image.DecompressionBombWarning) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{row}: {path} is not an image that can be read ({reason})") from None
    if mode.startswith(("F", "I")):
        raise InputError(f"{row}: {path} has pixels of mode {mode}, not 8 bits a channel; save it as 8 bits")


def _endings() -> set[str]:
    """Endings of the files that can be opened."""
    image = _pillow()
    return {ending for ending, kind in image.registered_extensions().items() if kind in image.OPEN}


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise InputError("images are read by pillow, which is not installed: pip install pillow") from None
    return Image
