"""Pretraining on a domain: what is masked and joined, what is learnt, and what is never read."""

from __future__ import annotations

import json
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.adapt.domain import domain_texts, held_out, pretrain
from audit.adapt.unlabelled import Masked, blocks, collated, pieces
from audit.errors import InputError
from audit.items import passages
from audit.items.task import read_task
from audit.job import Job
from audit.models.load import load_base
from audit.models.source import Source, file_hashes, resolve
from audit.models.tokens import load_tokenizer
from audit.recipe import Domain, parse_recipe
from audit.stages import Stages
from audit.steps.domain import pretrained, pretraining, start_of
from audit.view import Item
from tests import families, tiny

PATTERN = [Item(id=f"d{n}", cluster=f"d{n}", text="The red fox sat on the old mat. " * (2 + n % 3)) for n in range(24)]
TEXTS = [item.text or "" for item in passages()]
QUESTIONS: dict[str, str] = {"encoder": "masked_log_likelihood", "causal": "log_likelihood"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def learnt(base: Path, kind: Any, folder: Path, seed: int = 0, **changes: Any) -> Source:
    """A base after pretraining on one repeated sentence."""
    settings = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, **changes}
    folder.mkdir(parents=True)
    pretrain(resolve(str(base)), kind, Domain(**settings), PATTERN, seed, folder)
    return Source(folder.name, None, folder, file_hashes(folder), None)


# --- what is masked ---------------------------------------------------------------------------------------------------


def test_fifteen_in_a_hundred_are_chosen_and_eight_of_ten_masked(bert: Path) -> None:
    """Devlin et al., NAACL 2019, 3.1; three standard errors of the counts."""
    tokenizer = load_tokenizer(resolve(str(bert)))
    sequences = pieces(TEXTS, tokenizer, 64)
    rows = Masked(sequences, tokenizer, 0.15, 0)
    special = set(tokenizer.all_special_ids)
    own = chosen = masked = kept = 0
    for epoch in range(3):
        rows.set_epoch(epoch)
        for place, ids in enumerate(sequences):
            row = rows[place]
            for before, now, label in zip(ids, row["input_ids"], row["labels"], strict=True):
                own += before not in special
                if label == -100:
                    assert now == before
                    continue
                assert label == before
                assert before not in special
                chosen, masked, kept = chosen + 1, masked + (now == tokenizer.mask_token_id), kept + (now == before)
    assert own > 20_000
    for count, share, total in ((chosen, 0.15, own), (masked, 0.8, chosen), (kept, 0.1, chosen)):
        assert abs(count / total - share) < 3 * (share * (1 - share) / total) ** 0.5 + 1 / len(tokenizer), (
            count,
            total,
        )


def test_masks_depend_on_seed_row_and_epoch_alone(bert: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(bert)))
    sequences = pieces(TEXTS[:8], tokenizer, 64)

    def drawn(seed: int, epoch: int, order: Any = range(8)) -> list[Any]:
        rows = Masked(sequences[:8], tokenizer, 0.15, seed)
        rows.set_epoch(epoch)
        found = {place: rows[place] for place in order}
        return [found[place] for place in range(8)]

    assert drawn(0, 1) == drawn(0, 1, reversed(range(8)))
    assert drawn(0, 1) != drawn(0, 2)
    assert drawn(0, 1) != drawn(1, 1)


def test_a_row_without_a_mask_would_have_no_loss(bert: Path) -> None:
    tokenizer = load_tokenizer(resolve(str(bert)))
    rows = Masked(pieces(["the", "[UNK]", ""], tokenizer, 64), tokenizer, 0.15, 0)
    assert len(rows) == 1  # the others have nothing to mask
    for epoch in range(20):
        rows.set_epoch(epoch)
        assert sum(label != -100 for label in rows[0]["labels"]) == 1


def test_a_training_draws_anew_in_every_epoch(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[int] = []
    tell = Masked.set_epoch

    def told(rows: Masked, epoch: int) -> None:
        epochs.append(epoch)
        tell(rows, epoch)

    monkeypatch.setattr(Masked, "set_epoch", told)
    learnt(bert, "encoder", tmp_path / "a", epochs=3)
    assert list(dict.fromkeys(epochs)) == [0, 1, 2]


# --- what is joined and cut -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 32, 100_000])
def test_blocks_lose_no_token_and_part_texts_by_an_end(llama: Path, size: int) -> None:
    tokenizer = load_tokenizer(resolve(str(llama)))
    end = tokenizer.eos_token_id
    cut = blocks(TEXTS[:40], tokenizer, end, size)
    whole = list(chain.from_iterable(cut))
    assert {max(map(len, cut)) - min(map(len, cut))} <= {0, 1}
    assert 2 <= max(map(len, cut)) <= size
    expected = [tokenizer(text)["input_ids"] for text in TEXTS[:40]]
    assert whole == list(chain.from_iterable([*ids, end] for ids in expected))
    ends = [-1, *(place for place, token in enumerate(whole) if token == end)]
    assert [tokenizer.decode(whole[a + 1 : b]) for a, b in pairwise(ends)] == TEXTS[:40]
    assert blocks([], tokenizer, end, size) == []


def test_a_tokenizer_that_ends_texts_itself_is_given_no_second_end(llama: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer: Any = load_tokenizer(resolve(str(llama)))
    end = tokenizer.eos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", end)]
    )
    [block] = blocks(["late"], tokenizer, end, 64)
    assert (block[0], block.count(end), block[-1]) == (0, 1, end)


@pytest.mark.parametrize("size", [5, 16, 512])
def test_pieces_lose_no_token_and_begin_and_end_as_a_text_does(bert: Path, size: int) -> None:
    tokenizer = load_tokenizer(resolve(str(bert)))
    cut = pieces(TEXTS[:20], tokenizer, size)
    assert all(ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id for ids in cut)
    assert max(map(len, cut)) <= size
    inner = list(chain.from_iterable(ids[1:-1] for ids in cut))
    assert inner == list(chain.from_iterable(tokenizer(TEXTS[:20], add_special_tokens=False)["input_ids"]))


def test_padding_carries_no_loss() -> None:
    batch = collated(9)([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}, {"input_ids": [4], "labels": [4]}])
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[1, 2, 3], [4, -100, -100]]


# --- what is learnt ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_the_loss_of_the_domain_falls_and_the_same_seed_gives_the_same_weights(
    kind: Any, bert: Path, llama: Path, tmp_path: Path
) -> None:
    base = bert if kind == "encoder" else llama
    one, same, other = (learnt(base, kind, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert one.sha256 == same.sha256 != other.sha256
    text = [Item(id="x", cluster="x", text="The red fox sat on the old mat.")]
    before, after = (load_base(source, kind).ask(QUESTIONS[kind], text)[0] for source in (resolve(str(base)), one))
    assert after > before + 5
    assert weights(base).keys() == weights(one.folder).keys()  # it loads as the base does, head included
    for name in ("tokenizer.json", "config.json"):
        assert (one.folder / name).is_file()


@pytest.mark.parametrize("kind", ["encoder", "causal"])
def test_a_rate_that_changes_nothing_changes_next_to_nothing(
    kind: Any, bert: Path, llama: Path, tmp_path: Path
) -> None:
    """Adam moves a weight by about its rate a step: 6 steps of 1e-9."""
    base = bert if kind == "encoder" else llama
    still = weights(learnt(base, kind, tmp_path / "a", learning_rate=1e-9, weight_decay=0.0).folder)
    for name, tensor in weights(base).items():
        assert torch.allclose(still[name], tensor, rtol=0, atol=1e-7), name


def test_a_pretraining_that_was_killed_goes_on_to_the_same_weights(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of its second epoch, whose masks are drawn as if nothing had happened."""
    from audit.adapt import loop

    monkeypatch.setattr(loop, "SECONDS", 0.0)

    def killed(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    base, settings = resolve(str(bert)), Domain(epochs=3, batch_size=8, learning_rate=3e-3, max_length=32)
    whole, kept = learnt(bert, "encoder", tmp_path / "whole", epochs=3), tmp_path / "kept"
    (tmp_path / "again").mkdir()
    with pytest.raises(KeyboardInterrupt):
        pretrain(base, "encoder", settings, PATTERN, 0, tmp_path, checkpoints=kept, progress=killed)
    assert list(kept.glob("step-*"))
    steps: list[int] = []
    pretrain(
        base, "encoder", settings, PATTERN, 0, tmp_path / "again", checkpoints=kept,
        progress=lambda done, _: steps.append(done),
    )  # fmt: skip
    assert min(steps) >= 5
    assert file_hashes(tmp_path / "again") == whole.files


def test_a_pooler_that_no_masked_model_has_stays(bert: Path, tmp_path: Path) -> None:
    """As in bert-base-uncased, whose file has one though it says BertForMaskedLM."""
    folder = tmp_path / "base"
    families.masked(folder, "BertConfig", **families.SIZES, max_position_embeddings=256)
    tensors = weights(folder)
    tensors["bert.pooler.dense.weight"], tensors["bert.pooler.dense.bias"] = torch.eye(32), torch.ones(32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    after = weights(learnt(folder, "encoder", tmp_path / "a").folder)
    assert torch.equal(after["bert.pooler.dense.weight"], torch.eye(32))
    assert torch.equal(after["bert.pooler.dense.bias"], torch.ones(32))
    assert after.keys() == tensors.keys()


def test_a_base_without_its_masked_head_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^\[domain\] .*was saved as BertModel, without the masked-word head.*ForMaskedLM"
    ):
        learnt(tiny_encoder, "encoder", tmp_path / "a")


def test_texts_of_nothing_are_refused(bert: Path, tmp_path: Path) -> None:
    texts = [Item(id="a", cluster="a", text="[UNK]")]
    with pytest.raises(InputError, match="no text in it has a token to learn from"):
        pretrain(resolve(str(bert)), "encoder", Domain(), texts, 0, tmp_path)


# --- which texts ------------------------------------------------------------------------------------------------------


def test_texts_come_from_files_of_every_kind(tmp_path: Path) -> None:
    said = ["One text.", "Another, with a comma.", "", "One text."]
    table = pd.DataFrame({"id": range(4), "note": said})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"note": text}) for text in said))
    (tmp_path / "a.txt").write_text("\n".join(filter(None, said)))
    for name in ("a.csv", "a.tsv", "a.parquet", "a.jsonl", "a.txt"):
        items = domain_texts(Domain(texts=str(tmp_path / name), column="note"), [])
        assert [item.text for item in items] == [said[0], said[1], said[3]], name
        assert len({item.cluster for item in items}) == 2, name


def test_the_tasks_own_texts_are_read_without_labels() -> None:
    train = [Item(id=str(n), cluster=str(n), text=f"text {n}", label="x") for n in range(10)]
    items = domain_texts(Domain(), train)
    assert [item.text for item in items] == [item.text for item in train]
    assert all(item.label is None for item in items)
    assert [item.text for item in domain_texts(Domain(limit=3), train)] == ["text 0", "text 4", "text 9"]


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "b"], "size": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    path = str(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"row 1 has no 'note' for \[domain\] column; it has text, size"):
        domain_texts(Domain(texts=path, column="note"), [])
    with pytest.raises(InputError, match="row 1 of column 'size' is 1, not a text"):
        domain_texts(Domain(texts=path, column="size"), [])
    (tmp_path / "b.txt").write_text("same\nsame\n")
    with pytest.raises(InputError, match="it takes two different texts at least"):
        domain_texts(Domain(texts=str(tmp_path / "b.txt")), [])


def test_a_tenth_of_the_clusters_is_held_out_whatever_their_order() -> None:
    items = [Item(id=str(n), cluster=str(n // 2), text=f"text {n}") for n in range(100)]
    rest, out = held_out(items)
    assert len(out) == 10
    assert not {item.cluster for item in rest} & {item.cluster for item in out}
    shuffled = [items[n] for n in np.random.default_rng(0).permutation(100)]
    assert {item.id for item in held_out(shuffled)[1]} == {item.id for item in out}
    assert len(held_out(items[:4])[1]) == 2  # one cluster of two


# --- the stage --------------------------------------------------------------------------------------------------------


def job(base: Path, out: Path, kind: Any = "encoder", texts: str = "task", **changes: Any) -> Job:
    """A job whose recipe pretrains first."""
    domain = {"texts": texts, "epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "max_length": 48}
    recipe = parse_recipe(tiny.recipe(base, kind=kind, domain=domain, **changes), "tiny")
    one = Job(recipe, resolve(str(base)), kind, read_task(recipe.task, {}), out)
    one.stages = Stages(out, "key")
    return one


@pytest.fixture(scope="module")
def done(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """The stage over a file that also holds test texts and passages that are asked."""
    folder = tmp_path_factory.mktemp("domain")
    task = read_task(parse_recipe(tiny.recipe(bert), "tiny").task, {})
    own = [f"Ward {n} of the old clinic saw the patient {n} times for a cough." for n in range(40)]
    leaked = [(task.test[0].text or "").upper(), task.test[1].text or "", passages()[0].text or ""]
    (folder / "texts.txt").write_text("\n".join([*own, *leaked]))
    one = job(bert, folder / "run", texts=str(folder / "texts.txt"))
    return one, one.stages.run("models/domain-seed-3", pretraining(one, 3))


def test_the_stage_says_what_was_learnt_on_texts_it_did_not_learn(done: tuple[Job, Path]) -> None:
    one, folder = done
    result = json.loads((folder / "result.json").read_text())
    [said] = result["domain"]
    assert (said["seed"], said["texts"], said["held_out"]) == (3, 36, 4)
    assert said["after"] < 0.9 * said["before"]
    assert f"from {said['before']:.3f} to {said['after']:.3f} nats per byte" in " ".join(result["limits"])
    by_set = {row["asked"]: (row["exact"], row["dropped"]) for row in result["overlap"]}
    assert by_set.pop("the test split") == (2, 2)
    assert by_set.pop("[audit.forgetting] items") == (1, 1)
    assert set(by_set.values()) == {(0, 0)}
    assert pretrained(one, folder, 3).sha256 != one.base.sha256
    assert load_base(pretrained(one, folder, 3), "encoder").ask("embedding", one.data.test[:2]).shape == (2, 32)


def test_no_test_text_is_read(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def spy(base: Source, kind: str, domain: Domain, texts: Any, seed: int, folder: Path, **_: Any) -> None:
        seen.extend(item.text for item in texts)
        raise InputError("enough")

    monkeypatch.setattr("audit.steps.domain.pretrain", spy)
    table = tiny.recipe(bert)["task"] | {"overlap": "keep"}  # else what is asked would be dropped
    one = job(bert, tmp_path, task=table)
    with pytest.raises(InputError, match="enough"):
        pretraining(one, 0)(tmp_path)
    assert seen
    assert not {item.text for item in one.data.test} & set(seen)
    assert set(seen) < {item.text for item in one.data.train}


def test_refuse_means_refuse(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(["A text.", "Another one.", passages()[0].text or ""]))
    table = tiny.recipe(bert)["task"] | {"overlap": "refuse"}
    one = job(bert, tmp_path / "run", texts=str(tmp_path / "texts.txt"), task=table)
    with pytest.raises(
        InputError, match=r"^\[domain\] texts = .*row 'texts.txt:2' is also asked in \[audit.forgetting\] items as"
    ):
        pretraining(one, 0)(tmp_path)


def test_an_arm_begins_where_its_base_would(done: tuple[Job, Path], tmp_path: Path) -> None:
    """The same base and texts: what the stage left; another base, or texts that name nobody: pretrained anew."""
    one, folder = done
    ready = start_of(one, one.base, 3, tmp_path / "a", silent=False)
    assert ready is not None
    assert ready.folder == folder
    assert not (tmp_path / "a").exists()
    other = resolve(
        str(families.masked(tmp_path / "base", "BertConfig", **families.SIZES, max_position_embeddings=256))
    )
    begun = start_of(one, other, 3, tmp_path / "b", silent=False)
    assert begun is not None
    assert begun.folder == tmp_path / "b"
    assert weights(begun.folder).keys() == weights(folder).keys()


def test_a_silent_arm_learns_from_silenced_texts(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[Item]] = {}

    def spy(base: Source, kind: str, domain: Domain, texts: Any, seed: int, folder: Path, **_: Any) -> None:
        seen[folder.name] = list(texts)

    monkeypatch.setattr("audit.steps.domain.pretrain", spy)
    (tmp_path / "texts.txt").write_text("\n".join(f"Megan lost her {n} keys." for n in range(20)))
    one = job(bert, tmp_path / "run", texts=str(tmp_path / "texts.txt"))
    start_of(one, one.base, 0, tmp_path / "said", silent=False)
    start_of(one, one.base, 0, tmp_path / "silent", silent=True)
    assert all("Megan lost her" in (item.text or "") for item in seen["said"])
    assert all("Person lost their" in (item.text or "") for item in seen["silent"])
    without = one.recipe.model_copy(update={"domain": None})
    one.recipe = without
    assert start_of(one, one.base, 0, tmp_path / "none", silent=True) is None
