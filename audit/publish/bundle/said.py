"""Every text that the bytes of a file hold, whichever format they are in."""

from __future__ import annotations

import html
import json
import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Content", "holds", "said", "strings"]

Content = bytes | Path
ESCAPED = re.compile(r"\\([^A-Za-z0-9\s])")
PRINTED = re.compile(rb"[\x20-\x7e]{6,}")


def holds(content: Content, secrets: Sequence[bytes]) -> bool:
    """Tell whether one of some secrets stands anywhere in a file, in weights too."""
    if isinstance(content, bytes):
        return any(one in content for one in secrets)
    if not secrets or not content.stat().st_size:
        return False
    with content.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return any(mapped.find(one) >= 0 for one in secrets)


def said(content: Content) -> Iterator[str]:
    """Give the texts of a file: of parquet its cells, names and metadata, of safetensors the header, of JSON strings.

    The vocabulary of a tokenizer is passed over: it is full of pieces of paths and addresses of nobody. Markdown and
    HTML are given as they are and as they show.
    """
    header = safetensors_header(content)
    if header is not None:
        yield from strings(header)
        return
    raw = content if isinstance(content, bytes) else content.read_bytes()
    if raw[:4] == b"PAR1":
        yield from _parquet(raw)
        return
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    except ValueError:
        yield from (one.decode() for one in PRINTED.findall(raw))
        return
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        yield from _shown(text)
    else:
        yield from strings(_without_vocabulary(found))


def strings(value: object) -> Iterator[str]:
    """Give every text in nested lists and tables, their keys too."""
    if isinstance(value, str):
        yield from _shown(value)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from strings(key)
            yield from strings(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from strings(one)


def safetensors_header(content: Content) -> dict[str, Any] | None:
    """Read the header of a safetensors file; None where it is none."""
    if isinstance(content, bytes):
        start, size = content[:9], len(content)
    else:
        size = content.stat().st_size
        with content.open("rb") as file:
            start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if start[8:] != b"{" or length + 8 > size:
        return None
    if isinstance(content, bytes):
        raw = content[8 : 8 + length]
    else:
        with content.open("rb") as file:
            raw = file.read(8 + length)[8:]
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _shown(text: str) -> Iterator[str]:
    yield text
    rendered = html.unescape(ESCAPED.sub(r"\1", text))
    if rendered != text:
        yield rendered


def _without_vocabulary(found: Any) -> Any:
    model = found.get("model") if isinstance(found, dict) else None
    if not isinstance(model, dict) or "vocab" not in model:
        return found
    return {**found, "model": {name: one for name, one in model.items() if name not in ("vocab", "merges")}}


def _parquet(raw: bytes) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(raw))
    table = file.read()
    tables = [file.metadata.metadata or {}, *(one.metadata or {} for one in (table.schema, *table.schema))]
    for key, value in (pair for one in tables for pair in one.items() if pair[0] != b"ARROW:schema"):
        yield from strings([_text(key), _text(value)])
    yield from table.column_names
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield from strings([one for one in column.unique().to_pylist() if one])
        elif not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            yield from strings([_text(one) for one in column.to_pylist()])


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
