"""What tests of the clients say again and again."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError


def add(path: str, content: bytes | str) -> CommitOperationAdd:
    """Return the operation of a commit that adds a file."""
    return CommitOperationAdd(path, content.encode() if isinstance(content, str) else content)


def refused(status: int) -> pytest.RaisesExc[HfHubHTTPError]:
    """Expect the client to raise an answer of this status."""
    return pytest.RaisesExc(HfHubHTTPError, check=lambda error: error.response.status_code == status)
