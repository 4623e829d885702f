"""Weights that an installed package ships: ``package:MODULE/PATH``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

__all__ = ["in_package", "package_of"]

PREFIX = "package:"


def package_of(name: str) -> str | None:
    """Return the module that a name begins with; None where it names no package.

    Examples
    --------
    >>> package_of("package:some_weights/model"), package_of("owner/model")
    ('some_weights', None)
    """
    return name.removeprefix(PREFIX).partition("/")[0] if name.startswith(PREFIX) else None


def in_package(name: str) -> Path | None:
    """Return the place that ``package:MODULE/PATH`` names, there or not; None where the package is not installed."""
    module, _, inside = name.removeprefix(PREFIX).partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / inside if places else None
