"""Commands that act on the Hub for a report: post it, watch its base, run a recipe there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.cli.options import Json, progress, typed
from audit.errors import InputError
from audit.printing import print_json
from audit.publish.posts.jobs import Submitted, submitted
from audit.publish.posts.post import planned_post, posted, shown_post
from audit.publish.posts.watch import Watch, already_told, looked_after, recipe_again
from audit.publish.posts.webhook import planned_watch, watched
from audit.recipe import load_recipe
from audit.report import load_report

__all__ = ["Flavor", "Timeout", "post", "submit", "watch"]

Flavor = Annotated[str, typer.Option(help="Hardware of the Job; `hf jobs hardware` lists it.")]
Timeout = Annotated[str, typer.Option(help="When the Job is stopped: a number and s, m, h or d.")]


def post(
    run: Annotated[Path, typer.Argument(help="Run folder or report.")],
    repo: Annotated[str, typer.Option(help="The model on the Hub, owner/name.")],
    pr: Annotated[bool, typer.Option("--pr", help="A pull request on its card, in place of a discussion.")] = False,
    about: Annotated[
        bool, typer.Option("--about", help="Although the weights there are not known to be those audited.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Post it; without, it is only shown.")] = False,
    as_json: Json = False,
) -> None:
    """Say on a model's page what its audit found: one discussion or pull request, found again and edited."""
    report = load_report(run)
    plan = planned_post(report, repo, pull=pr, about=about)
    url = posted(plan, lambda: planned_post(report, repo, pull=pr, about=about)) if apply else ""
    if as_json:
        said = {"action": plan.action, "why": plan.why, "title": plan.draft.title, "body": plan.draft.body}
        return print_json({"repo": repo, "applied": apply, "url": url or None, **said})
    if apply:
        return _say(f"{plan.action}: {url or plan.why}")
    _say(shown_post(plan))
    if plan.action != "nothing":
        _say("nothing was written; to post it: the same command with --apply")


def watch(
    name: Annotated[str, typer.Argument(help="A published model, owner/name.")],
    job: Annotated[bool, typer.Option("--job", help="A webhook and a Job that audit it again.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Audit it again now, if its base moved.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write; without, it is only shown.")] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder of --now; default runs/NAME-COMMIT.")] = None,
    flavor: Flavor = "cpu-basic",
    timeout: Timeout = "2h",
    as_json: Json = False,
) -> None:
    """Tell whether the base of a published model has moved since its audit; audit again when it does."""
    if job and now:
        raise InputError("--job and --now: choose one; the Job does what --now does")
    found = looked_after(name)
    moved = found.settled or f"{found.base} has moved since the audit, to {found.newest}"
    said: dict[str, Any] = {"name": name, "base": found.base, "newest": found.newest, "moved": not found.settled}
    if job:
        plan = planned_watch(found, flavor=flavor, timeout=timeout)
        lines = watched(plan) if apply else plan.actions
        said |= {"applied": apply, "actions": lines}
    elif now and not found.settled:
        lines = [_again(found, out, apply, as_json)]
        said |= {"applied": apply, "actions": lines}
    else:
        lines = []
    if as_json:
        return print_json(said)
    _say("\n".join([moved, *lines]))
    if job and not apply:
        _say("nothing was written; to set it up: the same command with --apply")


def _again(found: Watch, out: Path | None, apply: bool, quiet: bool) -> str:
    """Audit a published model against its base as it is now, and post what is found on its page."""
    recipe, text = recipe_again(found)
    if told := already_told(found):
        return told
    from audit import relay

    folder = out or Path("runs") / f"{found.name.replace('/', '-')}-{found.newest[:8]}"
    with progress() as tick:
        report, _ = relay.audit_model(recipe, text, found.base, found.name, folder, command=typed(), tick=tick)
    plan = planned_post(report, found.name)
    if apply:
        return posted(plan, lambda: planned_post(report, found.name)) or plan.why
    if not quiet:
        _say(shown_post(plan))
    return f"report: {folder / 'report.json'}; to post it: transfer-audit post {folder} --repo {found.name} --apply"


def submit(
    recipe: Path,
    overrides: list[str],
    *,
    on: str,
    to: str | None,
    flavor: str,
    timeout: str,
    private: bool = False,
    as_json: bool = False,
) -> Submitted:
    """Submit a recipe to where ``run --on`` says, and print how to follow it."""
    if on != "hf-jobs":
        raise InputError(f"--on {on}: choose from hf-jobs")
    if to is None:
        raise InputError("--on hf-jobs needs --to owner/name: a Job's disk is gone when it ends, so it publishes")
    parsed, text = load_recipe(recipe, overrides), recipe.read_text(encoding="utf-8")
    done = submitted(parsed, text, to=to, flavor=flavor, timeout=timeout, overrides=overrides, private=private)
    if as_json:
        print_json({"job": done.id, "url": done.url, "flavor": flavor, "again": done.again, "to": to})
    else:
        began = "runs already" if done.again else f"started on {flavor}, stopped after {timeout} at the latest"
        _say(f"Job {done.id} {began}: {done.url}\nlog: {done.follow}\nthen: transfer-audit verify {to}")
    return done


def _say(text: str) -> None:
    """Print a text as it is; what others wrote in it is no command to the terminal."""
    clean = "".join(one for one in text if one.isprintable() or one in "\n\t")
    sys.stdout.write(f"{clean}\n")
