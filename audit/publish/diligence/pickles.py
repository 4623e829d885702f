"""Pickles in a folder, wherever they hide: a pickle is a program, and to load one is to run it.

The files are taken apart opcode by opcode (`audit.publish.diligence.opcodes`); nothing is ever unpickled.
"""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, cast

from pydantic import JsonValue

from audit.diligence import Check
from audit.publish.diligence.opcodes import harmless, marked, programs

__all__ = ["NAMED", "Pickle", "pickles", "scan"]

NAMED = (
    *(".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".p", ".joblib", ".dill", ".dat", ".data"),
    *(".npy", ".npz"),
)
ZIP = b"PK\x03\x04"
NPY = b"\x93NUMPY"
ZLIB = (b"x\x01", b"x^", b"x\x9c", b"x\xda")
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"]\x00\x00")
CLOSED = {b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
DEPTH = 4  # archives in archives
LIMIT = 1 << 29  # bytes of what is packed in an archive
GLANCE = 1 << 20  # bytes that are looked at where neither name nor beginning says pickle

UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, RuntimeError)


@dataclass(frozen=True)
class Pickle:
    """A pickle, or what may hold one.

    Attributes
    ----------
    file
        Path in the folder; members of archives follow after ``!``.
    imports
        What it would import, sorted, as ``module name``; ``?`` is a name that is computed.
    unread
        Why not all of it could be looked at, empty where it could.
    """

    file: str
    imports: tuple[str, ...] = ()
    unread: str = ""

    @property
    def foreign(self) -> tuple[str, ...]:
        """Imports that rebuilding tensors does not need."""
        return tuple(one for one in self.imports if not harmless(one))


def scan(folder: Path) -> Check:
    """Look for pickles in a folder.

    Parameters
    ----------
    folder : Path
        Everything in it is looked at, whatever it is called: archives and their members, too.

    Returns
    -------
    Check
        ``fail`` where a pickle imports what rebuilding tensors does not need; else ``unknown`` where something could
        not be read to its end; else ``warn`` where there is a pickle at all; else ``pass``.
    """
    found = pickles(folder)
    evidence: dict[str, JsonValue] = {
        "pickles": [{"file": one.file, "imports": list(one.imports), "unread": one.unread} for one in found]
    }
    foreign = [one for one in found if one.foreign]
    unread = [one for one in found if one.unread]
    if foreign:
        first = foreign[0]
        said = f"{first.file!r} would import {', '.join(map(repr, first.foreign[:3]))}{_more(foreign)}: do not load it"
        return Check(name="pickles", outcome="fail", said=said, evidence=evidence)
    if unread:
        said = f"{unread[0].file!r} could not be looked at: {unread[0].unread}{_more(unread)}"
        return Check(name="pickles", outcome="unknown", said=said, evidence=evidence)
    if found:
        said = f"{found[0].file!r} is a pickle{_more(found)}: it imports only what rebuilds tensors"
        return Check(name="pickles", outcome="warn", said=said, evidence=evidence)
    return Check(name="pickles", outcome="pass", said="no pickle in the folder", evidence=evidence)


def _more(found: list[Pickle]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def pickles(folder: Path) -> list[Pickle]:
    """List the pickles in a folder, and what could not be looked at, sorted by path."""
    found: list[Pickle] = []

    def closed(error: OSError) -> None:
        place = Path(error.filename or folder).relative_to(folder).as_posix()
        found.append(Pickle(place, unread=f"the folder cannot be read ({error.strerror})"))

    for place, folders, files in os.walk(folder, onerror=closed):
        for name in folders:
            if (link := Path(place, name)).is_symlink():
                found.append(Pickle(link.relative_to(folder).as_posix(), unread="it links to a folder elsewhere"))
        for name in files:
            path = Path(place, name)
            found += _in_file(path, path.relative_to(folder).as_posix())
    return sorted(found, key=lambda one: one.file)


def _in_file(path: Path, name: str) -> list[Pickle]:
    if not path.is_file():
        return [Pickle(name, unread="it is no regular file")]
    try:
        with path.open("rb") as stream:
            return list(_in(stream, name, 0))
    except OSError as error:
        return [Pickle(name, unread=f"it cannot be read ({error.strerror})")]


def _named(name: str) -> bool:
    return name.lower().endswith(NAMED)


def _in(stream: IO[bytes], name: str, depth: int) -> Iterator[Pickle]:
    """Look at a stream that can be wound back: as a pickle, as an array of numpy's, as an archive."""
    head = stream.read(GLANCE)
    stream.seek(0)
    if head.startswith(NPY):
        yield from _in_array(stream, name)
    else:
        named = _named(name) and not head.startswith(ZIP)
        found = programs(stream if named or marked(head) else io.BytesIO(head), named=named)
        if found:
            yield Pickle(name, tuple(sorted(found.imports)), found.broken)
    stream.seek(0)
    kind = next((kind for magic, kind in CLOSED.items() if head.startswith(magic)), None)
    archive = zipfile.is_zipfile(stream)
    tar = _is_tar(head)
    packed = head.startswith(PACKED) or (_named(name) and head.startswith(ZLIB))
    if kind or ((archive or tar or packed) and depth == DEPTH):
        yield Pickle(name, unread=f"it is packed as {kind}" if kind else f"archives lie {DEPTH} deep in one another")
    elif archive or tar or packed:
        stream.seek(0)
        try:
            yield from (_in_zip if archive else _in_tar if tar else _in_packed)(stream, name, depth + 1)
        except UNREADABLE as error:
            yield Pickle(name, unread=f"the archive cannot be read ({type(error).__name__})")


def _in_array(stream: IO[bytes], name: str) -> Iterator[Pickle]:
    """An array of objects is a pickle behind a header: magic, version, length, and a table that says ``O``."""
    head = stream.read(12)
    start = 12 if head[6:7] > b"\x01" else 10
    stream.seek(start)
    text = stream.read(min(int.from_bytes(head[8:start], "little"), GLANCE)).decode("latin-1")
    try:
        objects = "O" in str(ast.literal_eval(text)["descr"])
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        yield Pickle(name, unread="the header of the array cannot be read")
        return
    if objects:
        found = programs(io.BytesIO(stream.read()), named=True)
        yield Pickle(name, tuple(sorted(found.imports)) if found else (), found.broken if found else "no pickle in it")


def _in_zip(stream: IO[bytes], name: str, depth: int) -> Iterator[Pickle]:
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                inside = f"{name}!{member.filename}"
                try:
                    with archive.open(member) as opened:
                        yield from _in(_wound(opened, inside), inside, depth)
                except UNREADABLE as error:
                    yield Pickle(inside, unread=f"the member cannot be read ({type(error).__name__})")


def _in_tar(stream: IO[bytes], name: str, depth: int) -> Iterator[Pickle]:
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isreg() else None
            if opened is not None:
                inside = f"{name}!{member.name}"
                yield from _in(_wound(opened, inside), inside, depth)


def _in_packed(stream: IO[bytes], name: str, depth: int) -> Iterator[Pickle]:
    head = stream.read(2)
    stream.seek(0)
    inside = f"{name}!{PurePath(name).name if _named(name) else PurePath(name).stem}"
    if head in ZLIB:
        with io.BytesIO(zlib.decompressobj().decompress(stream.read(), LIMIT + 1)) as plain:
            yield from _in(_wound(plain, inside), inside, depth)
        return
    with cast(
        IO[bytes],
        gzip.open(stream) if head == b"\x1f\x8b" else bz2.open(stream) if head == b"BZ" else lzma.open(stream),
    ) as unpacked:
        yield from _in(_wound(unpacked, inside), inside, depth)


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _wound(opened: IO[bytes], name: str) -> IO[bytes]:
    """Read what is packed into memory: all of it where it may be a pickle or an archive, else its beginning."""
    head = opened.read(GLANCE)
    if not (_named(name) or marked(head) or head.startswith((ZIP, NPY, *PACKED)) or _is_tar(head)):
        return io.BytesIO(head)
    rest = opened.read(LIMIT - len(head) + 1)
    if len(head) + len(rest) > LIMIT:
        raise OSError(f"it holds more than {LIMIT} bytes")
    return io.BytesIO(head + rest)
