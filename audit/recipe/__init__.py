"""A recipe: one TOML file that names base, task, adaptation, audits with their margins, and publication."""

from audit.recipe.adapt import Adapt, Domain, Full, Gradient, Head, LpFt, Partial, Peft, Prompt, Protect, Unfreeze
from audit.recipe.audits import Audits, Bias, Forgetting, Gap, Groups, MinimalPairs, Questions, Transfer
from audit.recipe.reading import (
    find_recipe,
    load_recipe,
    overrides_of,
    parse_recipe,
    read_recipe,
    recipes_folder,
    shipped_recipes,
)
from audit.recipe.schema import Publish, Recipe, runnable
from audit.recipe.task import Task

__all__ = [
    "Adapt",
    "Audits",
    "Bias",
    "Domain",
    "Forgetting",
    "Full",
    "Gap",
    "Gradient",
    "Groups",
    "Head",
    "LpFt",
    "MinimalPairs",
    "Partial",
    "Peft",
    "Prompt",
    "Protect",
    "Publish",
    "Questions",
    "Recipe",
    "Task",
    "Transfer",
    "Unfreeze",
    "find_recipe",
    "load_recipe",
    "overrides_of",
    "parse_recipe",
    "read_recipe",
    "recipes_folder",
    "runnable",
    "shipped_recipes",
]
