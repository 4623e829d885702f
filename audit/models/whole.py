"""Whether a file in the cache is what the Hub has: the client looks at its size only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from audit.errors import InputError

__all__ = ["linked", "refuse_damaged"]


def refuse_damaged(name: str, folder: Path, said: Mapping[str, str], files: Mapping[str, str]) -> None:
    """Refuse a file of the cache that is not what the Hub has: it was damaged here, or on its way.

    Parameters
    ----------
    name : str
        Of the repository.
    folder : Path
    said : mapping of str to str
        Hashes by path, as the Hub says them: sha256 of large files, git's of others.
    files : mapping of str to str
        sha256 of those that were hashed anyway: nothing large is read twice.

    Raises
    ------
    InputError
        Names the file, and what to delete so that it is fetched again.
    """
    from huggingface_hub.utils.sha import git_hash

    for path, theirs in said.items():
        file = folder / path
        if len(theirs) == 64 and path in files:
            ours = files[path]
        elif len(theirs) == 40 and file.is_file():
            ours = git_hash(file.read_bytes())
        else:
            continue
        if ours != theirs:
            raise InputError(
                f"{name}: {path} in the cache is damaged (its hash is {ours[:8]}…, on the Hub {theirs[:8]}…); delete "
                f"{file.resolve()}, and it is fetched again"
            )


def linked(folder: Path) -> dict[str, str]:
    """Read hashes from the cache itself, by path: it keeps a file under the hash that the Hub said, and links to it."""
    links = [file for file in folder.rglob("*") if file.is_symlink()]
    return {file.relative_to(folder).as_posix(): Path(os.readlink(file)).name for file in links}
