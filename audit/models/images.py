"""Images from disk, through a model's own processor, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from audit.errors import InputError
from audit.models.batch import Progress, in_batches
from audit.models.source import Source
from audit.models.weights import first_line
from audit.view import Item, NotMeasurable

__all__ = ["IMAGES", "image_rows", "load_processor", "read_pixels"]

Array = NDArray[np.float64]
IMAGES = 32  # a batch


def load_processor(source: Source) -> Any:
    """Load what turns an image into a model's input; works without torchvision.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    if (
        not (source.folder / "preprocessor_config.json").is_file()
        and not (source.folder / "processor_config.json").is_file()
    ):
        raise InputError(f"{source.id}: it has no preprocessor_config.json, so that its images cannot be prepared")
    from transformers import AutoImageProcessor

    try:
        auto: Any = AutoImageProcessor
        return auto.from_pretrained(source.folder, trust_remote_code=False, backend="pil")
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise InputError(f"{source.id}: its image processor cannot be used ({first_line(error)})") from None


def image_rows(
    question: str,
    items: Sequence[Item],
    processor: Any,
    answer: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress | None,
) -> Array:
    """Answer images, or pairs of images, in batches; a file that several items name is read once.

    Parameters
    ----------
    question : str
        For the error.
    items : sequence of Item
        All with the path of an image, or all with a pair of paths.
    processor
        Of the model.
    answer : callable
        From pixels (n, channels, height, width) to (n, ...).
    device, dtype
        Of the model.
    progress : callable, optional

    Returns
    -------
    ndarray, shape (n_items, ...) for images and (n_items, 2, ...) for pairs

    Raises
    ------
    NotMeasurable
        If an item is neither an image nor a pair.
    InputError
        If a file cannot be read as one; names item and file.
    """
    per_item = 1 if items[0].pair is None else 2
    named = [(path, item) for item in items for path in item.pair or (item.image,) if path is not None]
    if len(named) < per_item * len(items):
        raise NotMeasurable(question, "it is asked of images, or of pairs of images")
    first = dict(reversed(named))  # who names a file, for the error
    files = list(first)
    result: list[Array] = [np.empty(0)] * len(files)

    def work(rows: list[int]) -> None:
        pixels = [read_pixels(files[row], first[files[row]], processor) for row in rows]
        if len({one.shape for one in pixels}) > 1:  # a processor that keeps the shape of its images
            values = np.concatenate([_numbers(answer(one.to(device, dtype))) for one in pixels])
        else:
            values = _numbers(answer(torch.cat(pixels).to(device, dtype)))
        for row, value in zip(rows, values, strict=True):
            result[row] = value

    in_batches([1] * len(files), work, progress, budget=IMAGES)
    position = {path: row for row, path in enumerate(files)}
    answers = np.stack(result)[[position[path] for path, _ in named]]
    return answers if per_item == 1 else answers.reshape(len(items), per_item, *answers.shape[1:])


def _numbers(values: torch.Tensor) -> Array:
    numbers: Array = values.double().cpu().numpy()
    return numbers


def read_pixels(file: str, item: Item, processor: Any) -> torch.Tensor:
    """Read an image as its processor has it; refuse what is none, by the item's name."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(file)
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("F", "I")):
                raise ValueError(f"its pixels are of mode {image.mode}, not 8 bits a channel")
            upright = ImageOps.exif_transpose(image).convert("RGB")
            pixels: torch.Tensor = processor(images=upright, return_tensors="pt")["pixel_values"]
    except FileNotFoundError:
        raise InputError(f"item {item.id!r}: there is no image {path}") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"item {item.id!r}: {path} is not an image that can be read ({first_line(error)})") from None
    return pixels
