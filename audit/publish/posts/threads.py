"""The discussion or pull request of ours on a model's page, found by what it says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.publish.posts.discussion import Marker, marker_in

if TYPE_CHECKING:
    from huggingface_hub import Discussion, HfApi

__all__ = ["Thread", "own_thread"]


@dataclass(frozen=True)
class Thread:
    """One that was found.

    Attributes
    ----------
    status : str
        ``open``, ``draft``, ``closed`` or ``merged``; ``hidden`` where its first comment was hidden by a moderator.
    comment : str
        Id of the first comment.
    marker : Marker or None
        None where it is hidden: then nobody can tell any more which report it was about.
    """

    number: int
    url: str
    status: str
    comment: str
    marker: Marker | None

    @property
    def ref(self) -> str:
        """The branch of a pull request."""
        return f"refs/pr/{self.number}"

    @property
    def editable(self) -> bool:
        """Whether it may be changed: what somebody closed, merged or hid is left alone."""
        return self.status in ("open", "draft")


def own_thread(api: HfApi, repo: str, author: str, *, pull: bool, title: str) -> Thread | None:
    """Find the newest thread of an author that carries our marker.

    A thread whose first comment is hidden has lost its marker; its title (``title``) still tells.
    """
    listed = api.get_repo_discussions(repo, author=author, discussion_type="pull_request" if pull else "discussion")
    mine = [one for one in listed if one.author == author and one.is_pull_request == pull]
    for one in sorted(mine, key=lambda one: -one.num):
        found = _thread(api, one)
        if found is not None and (found.marker is not None or one.title == title):
            return found
    return None


def _thread(api: HfApi, one: Discussion) -> Thread | None:
    details = api.get_discussion_details(one.repo_id, one.num)
    first = next((event for event in details.events if event.type == "comment"), None)
    if first is None:
        return None
    hidden, marker = bool(getattr(first, "hidden", False)), marker_in(getattr(first, "content", ""))
    if marker is None and not hidden:
        return None
    return Thread(one.num, details.url, "hidden" if hidden else details.status, first.id, None if hidden else marker)
