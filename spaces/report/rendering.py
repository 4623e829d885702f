"""The folder ``page``, which renders a report: beside this file in a Space, inside the package that it came with."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["HERE", "Reports", "page"]

HERE = Path(__file__).resolve().parent
Reports = Mapping[str, Any]  # what page.read returned, by the name under which it is shown


def _imported() -> Any:
    above = HERE.parents[1]
    places = (HERE / "page", above / "publish" / "page", above / "audit" / "publish" / "page")
    folder = next(place for place in places if place.is_dir())
    spec = importlib.util.spec_from_file_location("page", folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["page"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page: Any = _imported()
