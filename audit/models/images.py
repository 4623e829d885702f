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

__all__ = ["IMAGES", "image_rows", "load_processor"]

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
    """Answer images in batches.

    Parameters
    ----------
    question : str
        For the error.
    items : sequence of Item
        With the path of an image each.
    processor
        Of the model.
    answer : callable
        From pixels (n, channels, height, width) to (n, ...).
    device, dtype
        Of the model.
    progress : callable, optional

    Returns
    -------
    ndarray, shape (n_items, ...)

    Raises
    ------
    NotMeasurable
        If an item is no image.
    InputError
        If a file cannot be read as one; names item and file.
    """
    paths = [item.image for item in items]
    if any(path is None for path in paths):
        raise NotMeasurable(question, "it is asked of images")
    result: list[Array] = [np.empty(0)] * len(items)

    def work(rows: list[int]) -> None:
        pixels = [_pixels(items[row], processor) for row in rows]
        if len({one.shape for one in pixels}) > 1:  # a processor that keeps the shape of its images
            values = np.concatenate([_numbers(answer(one.to(device, dtype))) for one in pixels])
        else:
            values = _numbers(answer(torch.cat(pixels).to(device, dtype)))
        for row, value in zip(rows, values, strict=True):
            result[row] = value

    in_batches([1] * len(items), work, progress, budget=IMAGES)
    return np.stack(result)


def _numbers(values: torch.Tensor) -> Array:
    numbers: Array = values.double().cpu().numpy()
    return numbers


def _pixels(item: Item, processor: Any) -> torch.Tensor:
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(item.image or "")
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
