"""Who may see and do what; what the Hub says to the others."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from tests.hub.hub import Hub
from tests.hub.store import Account, Commit, Kind, Repo
from tests.hub.wire import Moved, Refused, Request


def kind_of(ask: Request) -> Kind:
    """Return the kind of repository that a path speaks of; without one it is a model."""
    named = (ask.parts.get("kind") or "models").rstrip("s")
    return "dataset" if named == "dataset" else "space" if named == "space" else "model"


def belongs(account: Account | None, repo: Repo) -> bool:
    """Tell whether a repository lies in one of the account's namespaces, whatever its token may do."""
    return account is not None and repo.namespace in (account.name, *account.orgs)


def missing(ask: Request) -> Refused:
    """Return the refusal for what is not there, or not for this account: nobody can tell which."""
    if ask.account is None:
        return Refused(401, "Invalid username or password.", "RepoNotFound")
    return Refused(404, "Repository not found", "RepoNotFound")


def find(hub: Hub, ask: Request) -> Repo:
    """Return the repository that a path names; a renamed one redirects, one that may not be seen is missing."""
    kind, id = kind_of(ask), ask.parts["repo"]
    if (kind, id) in hub.moved:
        there = ask.path.replace(quote(id), quote(hub.moved[kind, id]), 1)
        raise Moved(there + ("?" + urlencode(ask.query, doseq=True) if ask.query else ""))
    repo = hub.repos.get((kind, id))
    if repo is None or (repo.private and not belongs(ask.account, repo)):
        raise missing(ask)
    return repo


def readable(hub: Hub, ask: Request) -> Repo:
    """Return a repository whose files may be read: not disabled, and gated only for those who were let in."""
    repo = find(hub, ask)
    if repo.disabled:
        raise Refused(403, "Access to this resource is disabled.")
    let_in = belongs(ask.account, repo) or (ask.account is not None and ask.account.name in repo.readers)
    if repo.gated and not let_in:
        raise Refused(
            401 if ask.account is None else 403,
            f"Access to {repo.kind} {repo.id} is restricted. You must have access to it and be authenticated to access "
            f"it. Please log in."
            if ask.account is None
            else f"Access to {repo.kind} {repo.id} is restricted and you are not in the authorized list. Visit "
            f"{hub.endpoint}/{repo.prefix}{repo.id} to ask for access.",
            "GatedRepo",
        )
    return repo


def logged_in(ask: Request) -> Account:
    """Return the account that asks; nobody is refused."""
    if ask.account is None:
        raise missing(ask)
    return ask.account


def writable(hub: Hub, ask: Request) -> Repo:
    """Return a repository that the account may change."""
    account, repo = logged_in(ask), find(hub, ask)
    if not account.owns(repo.namespace):
        raise Refused(403, f"You don't have the rights required to change this {repo.kind}: {repo.id}")
    return repo


def named(account: Account, namespace: str) -> None:
    """Refuse to act in a namespace that is not the account's."""
    if not account.owns(namespace):
        raise Refused(403, f'You don\'t have the rights to act under the namespace "{namespace}"')


def revision(repo: Repo, name: str) -> Commit:
    """Return the commit that a revision names."""
    commit = repo.find(name)
    if commit is None:
        raise Refused(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return commit
