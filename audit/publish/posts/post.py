"""An audit on somebody's page: one discussion, or one pull request on the card; found again and edited.

Whoever posts on another's page is a guest there: it is shown first, posted once, edited where the report is a new one,
and what the owner closed or hid stays as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from audit.errors import InputError, Unavailable
from audit.publish.hub.failures import failures, status
from audit.publish.posts.discussion import Draft, drafted, neutral
from audit.publish.posts.guest import README, card_text, denied, head, other_weights, page, refusal, writer
from audit.publish.posts.threads import Thread, own_thread
from audit.report import Report

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Post", "Readme", "planned_post", "posted", "shown_post"]


@dataclass(frozen=True)
class Readme:
    """A card as it stands at a commit of a branch, and as a pull request would have it."""

    branch: str
    commit: str
    old: str
    new: str
    disagreements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Post:
    """What would be posted, and what there is of it.

    Attributes
    ----------
    action : {"new", "edit", "nothing"}
    why : str
        Of an action that is not new, in a sentence.
    thread : Thread or None
        Ours that was found.
    readme : Readme or None
        Of a pull request.
    """

    repo: str
    draft: Draft
    action: Literal["new", "edit", "nothing"]
    why: str = ""
    thread: Thread | None = None
    readme: Readme | None = None


# --- look -------------------------------------------------------------------------------------------------------------


def planned_post(report: Report, repo: str, *, pull: bool = False, about: bool = False) -> Post:
    """Look at a model's page, and tell what would be posted there; nothing is written.

    Parameters
    ----------
    report : Report
    repo : str
        ``owner/name`` of the model.
    pull : bool
        A pull request that puts our block and metadata into its card, in place of a discussion.
    about : bool
        Go on although the weights there are not known to be those that were audited; the text says so.

    Raises
    ------
    InputError
        If it may not or cannot be posted there: no token, no such model, gated, disabled, other weights.
    Unavailable
        If the Hub does not answer.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise InputError(f"--repo {repo}: a model on the Hub is written owner/name")
    try:
        return _looked(report, repo, pull, about)
    except (InputError, Unavailable):
        raise
    except failures() as error:
        raise refusal(error, repo, "nothing was posted") from None


def _looked(report: Report, repo: str, pull: bool, about: bool) -> Post:
    api, me = writer()
    info = page(api, repo)
    differ = other_weights(report, repo, info)
    if differ and not about:
        raise InputError(f"{differ}; audit the model that is there, or post it all the same with --about")
    if differ and pull:
        raise InputError(f"{differ}: a card is about the weights beside it, so --pr does not go with --about")
    told = neutral(report, None if differ else repo)
    draft = drafted(told, repo, same=not differ)
    thread = own_thread(api, repo, me, pull=pull, title=draft.title)
    if thread is not None and not thread.editable and (thread.status != "merged" or not pull):
        return Post(repo, draft, "nothing", f"{thread.url} was {thread.status} there, and is left as it is", thread)
    if pull:
        return _pull(api, repo, told, draft, thread, str(info.sha))
    if thread is None:
        return Post(repo, draft, "new")
    if thread.marker == draft.marker:
        return Post(repo, draft, "nothing", f"{thread.url} says it already", thread)
    return Post(repo, draft, "edit", f"{thread.url} is about an earlier report", thread)


def _pull(api: HfApi, repo: str, told: Report, draft: Draft, thread: Thread | None, newest: str) -> Post:
    from audit.publish.card import card

    there = thread if thread is not None and thread.editable else None
    branch, commit = ("main", newest) if there is None else (there.ref, head(api, repo, there.ref))
    old = card_text(api, repo, commit)
    merged = card(told, old)
    readme = Readme(branch, commit, old, merged.text, tuple(merged.disagreements))
    if there is None:
        if readme.new == readme.old:
            return Post(repo, draft, "nothing", "its card says it already", thread, readme)
        return Post(repo, draft, "new", readme=readme)
    if there.marker == draft.marker and readme.new == readme.old:
        return Post(repo, draft, "nothing", f"{there.url} says it already", there, readme)
    return Post(repo, draft, "edit", f"{there.url} says something else", there, readme)


# --- show -------------------------------------------------------------------------------------------------------------


def shown_post(post: Post) -> str:
    """Show what would be posted: the title, the text, the card as a diff, and what would be done."""
    parts = [post.draft.title, "", post.draft.body, ""]
    if post.readme is not None and post.readme.new != post.readme.old:
        old, new = post.readme.old.splitlines(), post.readme.new.splitlines()
        parts += [*difflib.unified_diff(old, new, f"a/{README}", f"b/{README}", lineterm=""), ""]
    if post.readme is not None:
        parts += [f"left as it is: {one}" for one in post.readme.disagreements]
    kind = "discussion" if post.readme is None else "pull request"
    done = {
        "new": f"would open a {kind} on {post.repo}",
        "edit": f"would edit its {kind}: {post.why}",
        "nothing": f"nothing to do: {post.why}",
    }
    return "\n".join([*parts, done[post.action]])


# --- post -------------------------------------------------------------------------------------------------------------


def posted(post: Post, look: Callable[[], Post]) -> str:
    """Post it, and return its address.

    Where an answer got lost, what was asked may have been done: the page is looked at again before anybody is told to
    try again, so that nothing is ever posted twice.

    Parameters
    ----------
    post : Post
    look : callable
        Plans it again.

    Raises
    ------
    InputError
        If the Hub refuses.
    Unavailable
        If it could not be posted now; the same command goes on.
    """
    if post.action == "nothing":
        return post.thread.url if post.thread else ""
    try:
        return _written(post)
    except failures() as error:
        code = status(error)
        if (code is not None and code < 500) or denied(error):
            raise refusal(error, post.repo, "nothing was posted") from None
        try:
            now = look()
        except (InputError, Unavailable):
            raise refusal(error, post.repo, "whether it was posted is not known") from None
        if now.action == "nothing" and now.thread is not None:
            return now.thread.url
        raise refusal(error, post.repo, "it was not posted, or not all of it") from None


def _written(post: Post) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi

    api, draft, readme = HfApi(), post.draft, post.readme
    if readme is not None and readme.new != readme.old:
        made = api.create_commit(
            post.repo,
            [CommitOperationAdd(README, readme.new.encode())],
            commit_message=draft.title,
            commit_description=draft.body if post.action == "new" else "",
            revision=None if post.action == "new" else readme.branch,
            create_pr=post.action == "new",
            parent_commit=readme.commit,
        )
        if post.action == "new":
            return str(made.pr_url)
    if post.thread is None or post.action == "new":
        return api.create_discussion(post.repo, draft.title, description=draft.body).url
    if post.thread.marker != draft.marker:
        api.edit_discussion_comment(post.repo, post.thread.number, post.thread.comment, draft.body)
    return post.thread.url
