"""The storage that the client chooses by itself: chunks, in a folder on this machine.

The released hf_xet carries the client that its own tests use: an address ``local:///folder`` makes it keep chunks and
shards in that folder and read them back, without a storage server. The commit names a file by its sha256 only, so the
shards are read here for the hash that belongs to it. None of this is documented: whoever uses it must be ready to skip.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = 48  # bytes of every record of a shard
VERIFIED, SAID = 0x80000000, 0x40000000  # flags: a record more for each segment; one more with the sha256


@dataclass(frozen=True)
class Stored:
    """A file that arrived: its hash in the storage and its size in bytes."""

    hashed: str
    size: int


def entries(shard: bytes) -> Iterator[tuple[str, Stored]]:
    """Yield (sha256, file) of every file that a shard describes.

    A shard is a header, then for each file a record [hash 32][flags u32][segments u32][8], its segments
    [chunk block 32][flags u32][bytes u32][8], and what the flags announce; 32 bytes of 0xFF end the list.
    """
    at = BLOCK
    while at + BLOCK <= len(shard) and shard[at : at + 32] != b"\xff" * 32:
        name, (flags, count) = shard[at : at + 32], struct.unpack_from("<II", shard, at + 32)
        size = sum(struct.unpack_from("<I", shard, at + BLOCK * (1 + n) + 36)[0] for n in range(count))
        at += BLOCK * (1 + count + (count if flags & VERIFIED else 0))
        if flags & SAID:
            yield spelled(shard[at : at + 32]), Stored(spelled(name), size)
            at += BLOCK


def spelled(raw: bytes) -> str:
    """Write a hash as the client does: every group of 8 bytes reversed."""
    return "".join(raw[start : start + 8][::-1].hex() for start in range(0, 32, 8))


def unusable(folder: Path) -> str:
    """Return why the installed hf_xet cannot keep its chunks in a folder; "" where it can."""
    try:
        import hf_xet  # type: ignore[import-untyped]

        with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{folder}") as commit:
            commit.start_upload_bytes(b"tried" * 100, sha256=hf_xet.COMPUTE_SHA256, name="tried")
        sha256 = hashlib.sha256(b"tried" * 100).hexdigest()
        return "" if Xet(folder).read(sha256) == b"tried" * 100 else "hf_xet read back something else"
    except Exception as error:  # noqa: BLE001  # undocumented: it may break in any way
        return f"hf_xet does not keep chunks in a folder: {type(error).__name__} {error}"


class Xet:
    """The folder of chunks, and what lies in it by sha256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """What the client takes for the address of the storage."""
        return f"local://{self.folder}"

    def _all(self) -> dict[str, Stored]:
        return dict(one for shard in sorted(self.folder.rglob("*.mdb")) for one in entries(shard.read_bytes()))

    def hashed(self, sha256: str) -> str | None:
        """Return the hash of a file in the storage."""
        found = self._all().get(sha256)
        return found.hashed if found else None

    def size(self, sha256: str) -> int | None:
        """Return the size of a file in the storage."""
        found = self._all().get(sha256)
        return found.size if found else None

    def read(self, sha256: str) -> bytes:
        """Return the content of a file, from a copy: the folder itself is locked while a client writes to it."""
        import hf_xet

        found = self._all()[sha256]
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(self.folder, Path(scratch) / "copy")
            out = Path(scratch) / "content"
            session = hf_xet.XetSession()
            with session.new_file_download_group(endpoint=f"local://{scratch}/copy") as group:
                group.start_download_file(hf_xet.XetFileInfo(found.hashed, found.size), str(out))
            return out.read_bytes()

    def pass_for(self) -> dict[str, str | int]:
        """Return what the client needs to enter the storage."""
        return {"casUrl": self.address, "exp": int(time.time()) + 3600, "accessToken": "local"}
