"""How to get started with what a recipe wrote: code that runs as it stands, for every kind of model."""

from __future__ import annotations

import json

from audit.publish.card.declared import OURS, adapted_by_us, pipeline_tag, task_table, task_type
from audit.report import Report

__all__ = ["usage"]

TEXT, IMAGE = "The text to be asked.", "picture.png"
HEADS = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "image-classification": "AutoModelForImageClassification",
    "text-generation": "AutoModelForCausalLM",
}
LIMITED = {"single_label": "", "multi_label": ", top_k=None", "regression": ', function_to_apply="none"'}


def usage(report: Report) -> str:
    """Write code that loads the adapted model and asks it something.

    The base is named at the revision that was audited. Everything that is anybody's text stands in it as a literal.

    Parameters
    ----------
    report : Report

    Returns
    -------
    str
        Python.
    """
    files = report.adapted.files
    if any(name in files for name in OURS):
        return _ours(report)
    if "adapter_config.json" in files:
        return _adapter(report)
    if not adapted_by_us(report):
        return _unknown(report)
    return _pipeline(report)


def _ours(report: Report) -> str:
    """Code for a head or a prompt, which this package reads, with or without a backbone beside it."""
    question = "logits" if task_type(report) == "regression" else "probabilities"
    asked = f'image="{IMAGE}"' if report.base.kind in ("vision", "clip") else f'text="{TEXT}"'
    return "\n".join(
        [
            "from audit import Item",
            "from audit.models.load import load_pair",
            "from audit.models.source import resolve",
            "",
            f"base = resolve({_base(report)})",
            f"model = load_pair(base, resolve({_name(report)}), {json.dumps(report.base.kind)}).adapted",
            f'print(model.labels, model.ask("{question}", [Item(id="1", cluster="1", {asked})]))',
        ]
    )


def _adapter(report: Report) -> str:
    """Code for a PEFT adapter, on its base at the revision that was audited."""
    tag = pipeline_tag(report)
    auto = HEADS.get(tag or "", "AutoModelForCausalLM" if report.base.kind == "causal" else "AutoModel")
    generates = auto == "AutoModelForCausalLM"
    reads = "AutoImageProcessor" if report.base.kind == "vision" else "AutoTokenizer"
    configured = "" if generates or auto == "AutoModel" else ", config=AutoConfig.from_pretrained(name)"
    names = sorted(filter(None, [auto, reads, "AutoConfig" if configured else ""]))
    imported, prompt = _prompt(report, generates)
    begins = [
        *imported,
        *(["from PIL import Image"] if report.base.kind == "vision" else []),
        "from peft import PeftModel",
        f"from transformers import {', '.join(names)}",
        "",
        f"name = {_name(report)}",
        f"base = {auto}.from_pretrained({_base(report)}{configured})",
        "model = PeftModel.from_pretrained(base, name)",
    ]
    if report.base.kind == "vision":
        given = ["processor = AutoImageProcessor.from_pretrained(name)",
                 f'inputs = processor(Image.open("{IMAGE}"), return_tensors="pt")']  # fmt: skip
    else:
        given = ["tokenizer = AutoTokenizer.from_pretrained(name)", *prompt,
                 f'inputs = tokenizer({_asked(report, generates)}, return_tensors="pt")']  # fmt: skip
    if generates:
        said = "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=20)[0]))"
    else:
        said = "print(model(**inputs).logits)" if auto != "AutoModel" else "print(model(**inputs).last_hidden_state)"
    return "\n".join([*begins, *given, said])


def _pipeline(report: Report) -> str:
    """Code for a whole model that transformers loads by itself."""
    tag, given = pipeline_tag(report), f'"{TEXT}"'
    (imported, before), after = _prompt(report, tag == "text-generation"), ""
    if tag == "text-generation":
        given = _asked(report, True)
        after = ", max_new_tokens=20, return_full_text=False"
    elif tag == "image-classification":
        given = f'"{IMAGE}"'
    elif tag == "text-classification":
        after = LIMITED.get(task_type(report) or "", "")
    return "\n".join(
        [
            *imported,
            "from transformers import pipeline",
            "",
            f'model = pipeline("{tag}", model={_name(report)})',
            *before,
            f"print(model({given}{after}))",
        ]
    )


def _unknown(report: Report) -> str:
    """Code for what somebody else made: how it is headed is not in the report."""
    auto = "AutoModelForCausalLM" if report.base.kind == "causal" else "AutoModel"
    lines = [
        f"from transformers import {auto}",
        "",
        f"model = {auto}.from_pretrained({_name(report)})",
    ]
    return "\n".join(lines)


def _prompt(report: Report, generates: bool) -> tuple[list[str], list[str]]:
    """Return the prompt that a language model was trained on, where it is a class's: imports, and the line itself."""
    if not generates or task_type(report) == "completion":
        return [], []
    said = task_table(report).get("prompt")
    if isinstance(said, str):
        return [], [f"prompt = {json.dumps(said)}"]
    return ["from audit.recipe.task import PROMPTS"], ['prompt = PROMPTS["causal"]  # the recipe names none']


def _asked(report: Report, generates: bool) -> str:
    return f'prompt.replace("{{text}}", "{TEXT}")' if _prompt(report, generates)[1] else f'"{TEXT}"'


def _name(report: Report) -> str:
    return json.dumps(report.adapted.id)


def _base(report: Report) -> str:
    base = report.base
    return json.dumps(base.id) + (f", revision={json.dumps(base.revision)}" if base.revision else "")
