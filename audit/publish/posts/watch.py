"""The base of a published model: whether it has moved since the audit, and what it takes to audit again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audit.errors import InputError, Unavailable
from audit.publish.hub.failures import failures
from audit.publish.posts.discussion import title_of
from audit.publish.posts.guest import refusal, writer
from audit.publish.posts.jobs import local_files
from audit.publish.posts.threads import own_thread
from audit.recipe import Recipe, overrides_of, read_recipe
from audit.report import Report, load_report

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

__all__ = ["Watch", "already_told", "looked_after", "recipe_again"]

READ = (".safetensors", ".json", ".txt", ".model", ".jinja", ".gguf")  # what a base is loaded from


@dataclass(frozen=True)
class Watch:
    """A published model and its base.

    Attributes
    ----------
    name : str
        Of the model, ``owner/name``.
    report : Report
        As it was published.
    newest : str
        The base's newest commit.
    settled : str
        Why there is nothing to audit again, empty where there is.
    """

    name: str
    report: Report
    newest: str
    settled: str = ""

    @property
    def base(self) -> str:
        """Id of the base on the Hub."""
        return self.report.base.id


def looked_after(name: str) -> Watch:
    """Look at a published model's base, and tell whether it is to be audited again.

    Raises
    ------
    InputError
        If there is no published audit of it, it is another's model, or its base is not on the Hub.
    Unavailable
        If the Hub does not answer.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise InputError(f"{name}: a model on the Hub is written owner/name")
    try:
        return _looked(name)
    except (InputError, Unavailable):
        raise
    except failures() as error:
        raise refusal(error, name, "whether its base has moved is not known") from None


def _looked(name: str) -> Watch:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi()
    try:
        found = api.hf_hub_download(f"{name}-audit", "report.json", repo_type="dataset")
    except (RepositoryNotFoundError, RemoteEntryNotFoundError):
        raise InputError(f"{name}: no audit of it on the Hub (the data set {name}-audit); publish one first") from None
    report = load_report(Path(found))
    if report.adapted.id != name:
        raise InputError(
            f"{name}: its report is about {report.adapted.id!r}; only a model that was published is watched"
        )
    base, revision = report.base.id, report.base.revision
    if revision is None:
        raise InputError(f"{name}: its base {base} is not on the Hub, so there is nothing to watch")
    try:
        info = api.model_info(base, files_metadata=True)
    except RepositoryNotFoundError:
        raise InputError(f"{name}: its base {base} is gone from the Hub, or not for this token") from None
    newest = str(info.sha)
    if newest == revision:
        return Watch(name, report, newest, f"{base} is where it was audited, at {newest}")
    try:
        audited = api.model_info(base, revision=revision, files_metadata=True)
    except RevisionNotFoundError:  # its history was written anew
        return Watch(name, report, newest)
    if _read(audited) == _read(info):
        return Watch(name, report, newest, f"{base} is at {newest} now, but no file that a model is read from changed")
    return Watch(name, report, newest)


def _read(info: ModelInfo) -> dict[str, str | None]:
    """List the files that an answer may depend on, each with its hash."""
    return {one.rfilename: one.blob_id for one in info.siblings or [] if Path(one.rfilename).suffix in READ}


def recipe_again(watch: Watch) -> tuple[Recipe, str]:
    """Return the recipe of a published audit for the base as it is now, and its text.

    Raises
    ------
    InputError
        If what was published does not suffice to audit again; says why.
    """
    report, why = watch.report, f"{watch.name}: its audit cannot be run again from what was published"
    files = report.adapted.files
    if {"head.json", "prompt.json"} & files.keys() and "config.json" not in files:
        raise InputError(f"{why}: a head or a prompt fits the one commit of its base that it was made for")
    overrides = overrides_of(report.provenance.command)
    if any(word.partition("=")[0] == "--items" for word in shlex.split(report.provenance.command)):
        raise InputError(f"{why}: it read items of the machine it was run on (--items)")
    recipe = _parsed(report.recipe.text, overrides, why)
    if local := [one for one in local_files(recipe) if not one.startswith("base ")]:
        raise InputError(f"{why}: it read {', '.join(local)} of the machine it was run on")
    if recipe.fingerprint != report.recipe.fingerprint:
        raise InputError(f"{why}: the recipe in it is not the one that was run, by their fingerprints")
    moved = [*overrides, f"base='{watch.base}'", f"revision='{watch.newest}'"]
    return _parsed(report.recipe.text, moved, why), report.recipe.text


def _parsed(text: str, overrides: Sequence[str], why: str) -> Recipe:
    try:
        return read_recipe(text, overrides, "recipe.toml")
    except InputError as error:
        raise InputError(f"{why}: {error}") from None


def already_told(watch: Watch) -> str:
    """Say why the owner knows already, or does not want to; empty where it is news.

    Raises
    ------
    InputError, Unavailable
    """
    try:
        api, me = writer()
        thread = own_thread(api, watch.name, me, pull=False, title=title_of(watch.base))
    except (InputError, Unavailable):
        raise
    except failures() as error:
        raise refusal(error, watch.name, "nothing was audited") from None
    if thread is None:
        return ""
    if not thread.editable:
        return f"{thread.url} was {thread.status} there, and is left as it is"
    known = thread.marker is not None and thread.marker.base == watch.newest
    return f"{thread.url} is about {watch.base} at {watch.newest} already" if known else ""
