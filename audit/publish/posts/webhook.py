"""A webhook on a base, and the Job that it starts: the audit again, whenever the base gets a commit."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from audit.errors import InputError, Unavailable
from audit.publish.hub.failures import failures
from audit.publish.posts.guest import refusal, writer
from audit.publish.posts.jobs import LABEL, refuse_hardware, requirements, start
from audit.publish.posts.watch import Watch, recipe_again

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["WatchPlan", "planned_watch", "watched"]


@dataclass(frozen=True)
class WatchPlan:
    """A webhook on a base and the Job that it starts: what is wanted, and what there is of it.

    Attributes
    ----------
    job, webhook : str or None
        Ids of what is there.
    current : bool
        The webhook starts what is wanted.
    disabled : bool
        The webhook is there and switched off; nobody but its owner switches it on.
    """

    watch: Watch
    owner: str
    label: str
    command: list[str]
    flavor: str
    timeout: str
    job: str | None = None
    webhook: str | None = None
    current: bool = False
    disabled: bool = False

    @property
    def actions(self) -> list[str]:
        """What would be done, one line each."""
        if self.current:
            off = "; it is switched off: switch it on in the settings of the Hub" if self.disabled else ""
            return [f"nothing to do: webhook {self.webhook} on {self.watch.base} starts it already{off}"]
        run = f"{shlex.join(self.command)} on {self.flavor}, at most {self.timeout}"
        return [
            f"take Job {self.job}, which runs {run}" if self.job else f"start a Job, once now: {run}",
            f"{'change' if self.webhook else 'make'} a webhook: every commit to {self.watch.base} starts it again",
            "both get your token as the secret HF_TOKEN",
        ]


def planned_watch(watch: Watch, *, flavor: str, timeout: str) -> WatchPlan:
    """Look which webhook and Job there are, and tell what is missing; nothing is written.

    Raises
    ------
    InputError
        If the audit cannot be run again, or the Hub refuses.
    Unavailable
        If the Hub does not answer.
    """
    recipe_again(watch)
    refuse_hardware(flavor, timeout)
    wanted = [word for one in requirements(watch.base, watch.report.base.kind) for word in ("--with", one)]
    command = ["uv", "run", *wanted, "transfer-audit", "watch", watch.name, "--now", "--apply"]
    label = hashlib.sha256(f"watch {watch.name} {watch.base}".encode()).hexdigest()[:16]
    try:
        api, me = writer()
        plan = WatchPlan(watch, me, label, command, flavor, timeout)
        return _with_what_is_there(api, plan)
    except (InputError, Unavailable):
        raise
    except failures() as error:
        raise refusal(error, watch.name, "nothing was set up") from None


def _with_what_is_there(api: HfApi, plan: WatchPlan) -> WatchPlan:
    for one in api.list_webhooks():
        watches = any((item.type, item.name) == ("model", plan.watch.base) for item in one.watched)
        if one.job is not None and watches and (one.job.labels or {}).get(LABEL) == plan.label:
            plan = replace(plan, webhook=one.id, current=_as_wanted(one.job, plan), disabled=one.disabled)
            break
    if plan.current:
        return plan
    jobs = api.list_jobs(labels={LABEL: plan.label}, namespace=plan.owner)
    fit = [one.id for one in jobs if (one.labels or {}).get(LABEL) == plan.label and _as_wanted(one, plan)]
    return replace(plan, job=fit[0]) if fit else plan


def _as_wanted(job: Any, plan: WatchPlan) -> bool:
    return (job.command, job.flavor) == (plan.command, plan.flavor)


def watched(plan: WatchPlan) -> list[str]:
    """Make or change the webhook and its Job, and say what was done.

    What was done before something failed is found by the next plan and used.

    Raises
    ------
    InputError
        If the Hub refuses.
    Unavailable
        If it does not answer; the same command goes on.
    """
    from huggingface_hub import HfApi, get_token

    if plan.current:
        return plan.actions
    api, done = HfApi(), "nothing was set up"
    item: list[Any] = [{"type": "model", "name": plan.watch.base}]
    try:
        job = plan.job
        if job is None:
            name = "transfer-audit-watch"
            job, url = start(api, plan.owner, plan.label, name, plan.command, {}, plan.flavor, plan.timeout)
            done = f"its Job was started ({url}), the webhook is missing"
        secrets = {"HF_TOKEN": str(get_token())}  # those of the Job are not copied
        if plan.webhook is None:
            made = api.create_webhook(job_id=job, watched=item, domains=["repo"], secrets=secrets)
        else:
            made = api.update_webhook(plan.webhook, job_id=job, watched=item, domains=["repo"], secrets=secrets)
    except failures() as error:
        now = _looked_again(api, plan)
        if now is None or not now.current:
            raise refusal(error, plan.watch.name, done) from None
        return [f"webhook {now.webhook} on {plan.watch.base} starts it"]
    return [f"webhook {made.id} on {plan.watch.base} starts what Job {job} does"]


def _looked_again(api: HfApi, plan: WatchPlan) -> WatchPlan | None:
    """Look what there is after an answer got lost; None where that does not work either."""
    try:
        return _with_what_is_there(api, replace(plan, job=None, webhook=None, current=False))
    except failures():
        return None
