"""Work that is done once: a folder a stage, which appears under its name only when it is complete."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout

from audit.errors import InputError, Unavailable

__all__ = ["Stages", "code_hash", "locked", "sync", "write_atomically"]


@cache
def code_hash() -> str:
    """Hash this package's source and the versions that run its models: what other code computed is not continued."""
    folder = Path(__file__).parent
    sources = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".jsonl", ".toml", ".jinja"))
    parts = [path.read_bytes() for path in sources]
    parts += [metadata.version(name).encode() for name in ("torch", "transformers", "peft", "tokenizers")]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary one beside it: whole or not at all, and on the disk when this returns."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder; create it if need be.

    Raises
    ------
    InputError
        If it cannot be written.
    Unavailable
        If another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise Unavailable(
            f"{folder}: another run works in this folder; wait for it, or choose another with --out"
        ) from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder with --out") from None
    try:
        yield
    finally:
        lock.release()


class Stages:
    """The stages of one run.

    Parameters
    ----------
    folder : Path
        Of the run.
    key : str
        Fingerprint of everything that the results depend on.
    fresh : bool
        Throw away what is there.
    leads : bool
        False where another process writes the folder: the work is done and thrown away.
    agreed : callable
        Returns what the process that writes says, once all have come there.

    Raises
    ------
    InputError
        If the folder holds a run with another key.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        *,
        fresh: bool = False,
        leads: bool = True,
        agreed: Callable[[bool], bool] = bool,
    ) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.current = ""
        self._leads, self._agreed = leads, agreed
        if leads:
            self._prepare(key, fresh)
        agreed(True)

    def _prepare(self, key: str, fresh: bool) -> None:
        folder, marker = self.folder, self.folder / "stages" / "key"
        if fresh:
            for name in ("stages", "models", "arms", "strengths", "evidence", "checkpoints"):
                shutil.rmtree(folder / name, ignore_errors=True)
            for name in ("report.json", "card.md", "moved.parquet", "flipped.parquet", "drivers.parquet"):
                (folder / name).unlink(missing_ok=True)
        if marker.is_file() and marker.read_text() != key:
            raise InputError(
                f"{folder}: holds a run of another recipe, base, data or version; "
                "start over with --fresh, or choose another folder with --out"
            )
        marker.parent.mkdir(parents=True, exist_ok=True)
        for orphan in [*folder.glob(".tmp-*"), *folder.glob("*/.tmp-*")]:  # of a run that was killed
            shutil.rmtree(orphan, ignore_errors=True)
        if not marker.is_file():
            write_atomically(marker, key.encode())

    def run(self, name: str, work: Callable[[Path], None]) -> Path:
        """Do the work of a stage unless it is done; return its folder.

        Parameters
        ----------
        name : str
            Path of the stage's folder inside the run.
        work : callable
            Fills an empty folder.
        """
        target = self.folder / name
        if not self._agreed((target / "seconds").is_file()):
            self.current = name.rsplit("/", 1)[-1]
            if self._leads:
                self._do(target, work)
            else:
                with tempfile.TemporaryDirectory() as scratch:
                    work(Path(scratch))
            self._agreed(True)
        self.seconds[name] = float(json.loads((target / "seconds").read_text()))
        return target

    def _do(self, target: Path, work: Callable[[Path], None]) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
        started = time.perf_counter()
        try:
            work(temporary)
            (temporary / "seconds").write_text(json.dumps(round(time.perf_counter() - started, 2)))
            sync(temporary)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(temporary, target)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            system = re.search(r"\(os error (\d+)\)", str(error))
            if system and not isinstance(error, OSError):  # Rust libraries wrap the system's error in their own
                raise OSError(int(system[1]), os.strerror(int(system[1])), str(target)) from error
            raise


def sync(folder: Path) -> None:
    """Wait until a folder and all that is in it are on the disk."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
