"""What was published, file by file, so that it can be checked against what was audited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from audit.report import Report

__all__ = ["SCHEMA", "manifest", "sha256"]

SCHEMA = 1


def manifest(report: Report, files: Mapping[str, bytes | Path], rewritten: Mapping[str, str], said: bytes) -> bytes:
    """List the files of model and data set by their hashes, with the base they go back to.

    Parameters
    ----------
    report : Report
        As it is published.
    files : mapping of str to bytes or Path
        Of both repositories, by path; but for cards and the manifest itself, which names them all.
    rewritten : mapping of str to str
        Files that differ from what was audited, or from what the run has, and why.
    said : bytes
        The report's file.

    Returns
    -------
    bytes
        JSON, the same for the same files.
    """
    base = report.base
    told = {
        "schema": SCHEMA,
        "files": {name: sha256(files[name]) for name in sorted(files)},
        "base": {"id": base.id, "revision": base.revision, "files": dict(sorted(base.files.items()))},
        "report": sha256(said),
        "rewritten": dict(sorted(rewritten.items())),
    }
    return json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n"


def sha256(content: bytes | Path) -> str:
    """Hash a file.

    Examples
    --------
    The hash of nothing (FIPS 180-4; NIST's example):

    >>> sha256(b"")
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
