"""The house: who may import whom, what stays light, and what a newcomer types."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "audit"
HEAVY = ("torch", "transformers", "datasets", "peft", "gradio", "sklearn")

# part -> parts it may import; what is not listed may be imported by everybody (errors)
ALLOWED = {
    "finding": set(),
    "installed": set(),
    "signoff": set(),
    "gate": {"finding", "recipe", "report", "signoff"},
    "view": set(),
    "stages": set(),
    "stats": {"finding"},
    "probe": {"view"},
    "items": {"view", "recipe", "models"},  # the last two inside functions: the Hub, and types
    "recipe": {"items", "view"},
    "origin": {"finding"},
    "savings": {"finding"},
    "scale": {"finding"},
    "retention": {"finding", "stats"},
    "diligence": set(),
    "metrics": {"finding", "stats", "view"},
    "audits": {"finding", "stats", "view", "probe", "origin", "savings", "scale", "retention"},
    "report": {"finding", "diligence", "origin", "savings", "scale", "retention", "signoff", "stages"},
    "publish": {
        *("finding", "signoff", "origin", "savings", "scale", "retention", "diligence", "report", "recipe", "stages"),
        "installed",
    },
    "verify": {
        *("finding", "origin", "savings", "scale", "retention", "report", "recipe", "stats", "audits", "view"),
        *("publish", "stages", "metrics", "installed"),
    },
    "models": {"view", "items", "retention", "installed"},
    "compare": {"finding", "report", "retention", "stats", "stages"},
    "softened": {"adapt", "models", "report", "stages"},
    "adapt": {"view", "items", "models", "recipe", "probe", "stages"},
    "choose": {
        *("finding", "scale", "savings", "stats", "view", "stages", "audits", "items", "recipe", "models", "adapt"),
        *("job", "steps"),
    },
}


def imports(path: Path) -> set[str]:
    """Parts of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "audit":
            names = (node.module or "").split(".")[1:2] or [alias.name for alias in node.names]
            found |= set(names)
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_one_way(part: str) -> None:
    files = [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").is_file() else sorted((PACKAGE / part).rglob("*.py"))
    assert files
    for file in files:
        assert imports(file) - {part, "errors"} <= ALLOWED[part], file.name


def test_torch_lives_in_models_and_adapt_only() -> None:
    at_home = {"models", "adapt"}
    visiting = {"check.py"}  # which bring everything together
    for file in PACKAGE.rglob("*.py"):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        if names & {"torch", "transformers", "peft"}:
            assert file.relative_to(PACKAGE).parts[0] in at_home or file.name in visiting, file


def test_the_wheel_holds_every_package() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert listed == there | {"audit.recipes", "audit.spaces.report"}


def test_the_import_is_light_and_silent() -> None:
    script = f"import sys, audit; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_the_readme_types_what_the_makefile_does() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    typed = set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE))
    assert {"quickstart", "test"} <= typed <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_readme_names_commands_and_files_that_exist() -> None:
    from typer.main import get_command

    from audit.cli import app
    from audit.recipe import shipped_recipes

    readme = (ROOT / "README.md").read_text()
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    for line in re.findall(r"^transfer-audit (.+)$", readme, re.MULTILINE):
        words = line.split("#")[0].split()
        assert words[0] in commands, line
        if words[0] in ("run", "validate") and not words[1].endswith(".toml"):
            assert words[1] in shipped_recipes(), line
    for path in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / path).exists(), path


def test_every_dependency_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["test"],
        *project["optional-dependencies"]["quickstart"],
    ]
    for requirement in wanted:
        name = re.split(r"[<>=\[ ]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, name
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()


def test_the_public_names_exist() -> None:
    import audit

    assert all(hasattr(audit, name) for name in audit.__all__)
