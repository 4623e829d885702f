"""What is private is taken out of texts and found in files of every format; what merely looks alike stays."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from safetensors.numpy import save

from audit.publish.bundle import redact
from audit.publish.bundle.machine import Machine, this_machine
from audit.publish.bundle.redact import KINDS, leaks, redacted

TOKEN, PLACE, ADDRESS, NAME = KINDS
SECRET = "Tr0ub4dor-and-3"
ALICE = Machine(
    secrets=(SECRET,),
    places=("/home/alice", "/srv/lab one"),
    user=("alice",),
    host=("alices-laptop",),
)
HF = "hf_" + "aB3dE6gH9j" * 3  # the shape of a token of the Hub; nobody's

PRIVATE = [
    # places
    ("/home/alice/reviews.csv", "[path]/reviews.csv"),
    ("/home/alice", "[path]"),
    ("/home/bob/", "[path]"),
    ("/Users/bob", "[path]"),
    ("/Users/bob/Desktop/x.toml, and more", "[path]/x.toml, and more"),
    ("rootfs/home/alice/x", "rootfs[path]/x"),
    ("/srv/lab one/x.csv", "[path]/x.csv"),
    ("~/runs/feedback", "[path]/feedback"),
    ("-I/home/alice/include", "-I[path]/include"),
    ("file:///home/bob/a.csv", "[path]/a.csv"),
    ("file://C:/Users/bob/a.csv", "[path]/a.csv"),
    (r"C:\Users\Bob Smith\Documents\a.csv", "[path]/a.csv"),
    (r"C:\\Users\\bob\\a.csv", "[path]/a.csv"),
    (r"D:\corp\bob\a.csv", "[path]/a.csv"),
    (r"\\files\team\bob\a.csv", "[path]/a.csv"),
    ("/mnt/c/Users/bob/a.csv:/usr/local/bin", "[path]/a.csv:[path]/bin"),
    ("/nowhere-known/bob/secret.jsonl.", "[path]/secret.jsonl."),
    ('dataset = "/tmp/x.csv"', 'dataset = "[path]/x.csv"'),
    ("--out=/srv/runs/a --fresh", "--out=[path]/a --fresh"),
    ("/data/alice-reviews", "[path]"),
    (f"/tmp/{HF}/x", "[path]/x"),
    # people
    ("alice@clinic.example", "[e-mail]"),
    ("Bob <bob.o'hara+x@mail.clinic.co.uk>.", "Bob <bob.o'[e-mail]>."),
    ("jürgen@müller.de", "[e-mail]"),
    ("mailto:a_b-c@x.org?subject=y", "mailto:[e-mail]?subject=y"),
    ("/home/bob/a@b.org", "[path]/[e-mail]"),
    ("ssh frank@10.1.2.3", "ssh [e-mail]"),
    ("scp x frank@192.168.0.7:y.", "scp x [e-mail]:y."),
    ("alice@clinic.example.1", "[e-mail].1"),
    ("alice@alices-laptop: by alice", "[user]@[host]: by [user]"),
    # tokens
    (HF, "[token]"),
    (f"x={HF}.", "x=[token]."),
    (SECRET, "[token]"),
    ("Authorization: Bearer abc.def-123", "Authorization: Bearer [token]"),
    ("'authorization': 'Basic dXNlcjpwdw=='", "'authorization': 'Basic [token]'"),
    ("https://bob:pw@host.org/x.git", "https://[token]@host.org/x.git"),
    ("https://x.org/a?token=abc&b=c", "https://x.org/a?token=[token]&b=c"),
    ("HF_TOKEN=abcdefgh1 transfer-audit run", "HF_TOKEN=[token] transfer-audit run"),
    ("publish --token abcdefgh123 --apply", "publish --token [token] --apply"),
    ('password = "hunter22"', 'password = "[token]"'),
    ("AKIAABCDEFGHIJKLMNOP", "[token]"),
    ("ghp_" + "a1" * 18, "[token]"),
]

ALIKE = [
    "owner/name",
    "alice/bert-base",
    "of alice/bert by bob/alice",
    "https://huggingface.co/alice",
    "and/or, his/her, n/a, w/o, km/h, 24/7, TP/FP/TN/FN",
    "3/4 of 1/2/3",
    "2024/05/06, 06/05/2024, 05:41:38+00:00",
    "https://hf.co/datasets/owner/name/resolve/main/data/train.csv",
    "http://localhost:8000/home/index.html?page=2#top",
    "s3://bucket/tmp/x.csv hf://datasets/a/b/x.csv",
    r"$\frac{a}{b}$ \\hline\hline \alpha/\beta",
    r"(?:\d+)/(?:\w+) ^/foo/bar$ [a-z:\s] \w:\d s/a/b/g",
    r'prompt = "Q: {text}\nA:\nB\n"',
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "hf_hub_download hf_transfer hf_xet HF_TOKEN HF_HOME",
    "A@B.transpose() lodash@4.17.21 image@sha256:abcd @alice_b user@ @",
    "f@np.linalg.norm(x) q@self.keys[0] x@self.layer.weight h@W.T, a@x.mean",
    "git@github.com:owner/name.git",
    "bias/gender/task/preference",
    "~50 of ~5/month",
    "bearer of bad news; Authorization: required; a secret: none",
    'max_tokens = 4000; EOS_TOKEN = "<|endoftext|>"; "mask_token": "[MASK]"',
    "/ and // and /x and /home",
    "shipped:feedback package:gt_all/model",
    "models/seed-0 ./runs/x ../data/x.csv audit/home/x.py",
    "Alice went home / to work / to the data",
    "[path]/x.csv, [e-mail], [token], [user]@[host]",
    "learning_rate = 1e-4, 2e-5; a:b, C: D; 10:30",
    "<b>/b</b> </home> <br/>",
]


@pytest.fixture(autouse=True)
def _at_alices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "this_machine", lambda: ALICE)


@pytest.mark.parametrize(("text", "wanted"), PRIVATE)
def test_what_is_private_goes(text: str, wanted: str) -> None:
    assert redacted(text) == wanted
    assert redacted(f"({text})") == f"({wanted})"
    assert leaks(text.encode())
    assert not leaks(wanted.encode())


@pytest.mark.parametrize("text", ALIKE)
def test_what_looks_alike_stays(text: str) -> None:
    assert redacted(text) == text
    assert leaks(text.encode()) == []


def test_redacting_twice_is_redacting_once_whatever_stands_beside_what() -> None:
    rng = random.Random(0)
    pieces = [text for text, _ in PRIVATE] + ALIKE
    between = [" ", "\n", '"', ", ", "=", "'", "|", ": ", "(", ")", ";", "/", "@", "", "\t", "[", "]", "://"]
    for _ in range(3000):
        text = "".join(rng.choice(pieces) + rng.choice(between) for _ in range(rng.randint(1, 5)))
        once = redacted(text)
        assert redacted(once) == once, text
        assert not leaks(once.encode()), text
        assert SECRET not in once
        assert HF not in once


def test_a_long_text_is_read_in_time() -> None:
    for piece in ("a", "a.", "/a", "a/", "~/", "\\a", "a@", "a.b@", "a@a.", "a@1.", "://a", "[token]", " C:\\", "eyJ"):
        assert redacted(piece * 20_000) is not None  # a pattern that went back and forth would take hours


# --- files ------------------------------------------------------------------------------------------------------------


def parquet(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    return sink.getvalue()


def arrow(schema: pa.Schema) -> bytes:
    """Write numbers without what pandas says of them."""
    sink = io.BytesIO()
    pq.write_table(pa.table([pa.array([1])], schema=schema), sink)
    return sink.getvalue()


KIND = [(HF, TOKEN), ("bob@clinic.example", ADDRESS), ("/home/bob/x.csv", PLACE), ("by alice", NAME)]


@pytest.mark.parametrize(("secret", "kind"), KIND)
def test_every_format_is_read(secret: str, kind: str, tmp_path: Path) -> None:
    weights = {"w": np.zeros((2, 3), dtype=np.float32)}
    slashed = json.dumps({"a": [{"b": secret}]}).replace("/", "\\/").replace("@", "\\u0040")
    table = pd.DataFrame({"text": ["fine", secret]})
    attributed = pd.DataFrame({"n": [1]})
    attributed.attrs["from"] = secret  # goes into the metadata that pandas writes
    tokenizer = {"model": {"vocab": {}, "merges": []}, "added_tokens": [{"content": secret}]}
    rendered = secret.replace("@", "&#64;").replace("_", "\\_").replace("/", "&#47;").replace("b", "&#98;")
    for content in (
        secret.encode(),
        f"a: 1\nb: {secret}\n".encode(),
        slashed.encode(),
        json.dumps({secret: 1}).encode(),
        rendered.encode(),
        secret.encode("utf-16"),
        b"\xff\xfa\x00" + secret.encode() + b"\x00\x01",
        parquet(table),
        parquet(pd.DataFrame({"text": [[{"deep": secret}]]})),
        parquet(pd.DataFrame({"raw": [secret.encode()]})),
        parquet(pd.DataFrame({secret: [1.0]})),
        parquet(attributed),
        arrow(pa.schema([pa.field(secret, pa.int64())])),
        arrow(pa.schema([pa.field("n", pa.int64(), metadata={"from": secret})])),
        arrow(pa.schema([pa.field("n", pa.int64())], metadata={secret: "x"})),
        save(weights, metadata={"from": secret}),
        save({secret: weights["w"]}),
        json.dumps(tokenizer).encode(),
    ):
        assert leaks(content) == [kind], content[:80]
        path = tmp_path / "file"
        path.write_bytes(content)
        assert leaks(path) == [kind]


def test_weights_are_searched_for_secrets_and_for_nothing_else(tmp_path: Path) -> None:
    noise = np.frombuffer(b"a@b.cd /home/x/y" * 64, dtype=np.uint8)
    assert leaks(save({"w": noise})) == []
    planted = np.frombuffer(SECRET.encode(), dtype=np.uint8)
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"v": noise, "w": planted}))
    assert leaks(path) == leaks(path.read_bytes()) == [TOKEN]
    assert leaks(path, ()) == [TOKEN]  # whatever else is not looked for


def test_the_words_of_a_tokenizer_are_nobodys() -> None:
    words = {"model": {"vocab": {"/home/": 0, "x@y.org": 1, "/tmp/x.py": 2}, "merges": [["/usr/lib/x", ".py"]]}}
    assert leaks(json.dumps(words).encode()) == []
    assert leaks(json.dumps({**words, "model": {**words["model"], "vocab": {SECRET: 0}}}).encode()) == [TOKEN]


# --- this machine -----------------------------------------------------------------------------------------------------


def test_tokens_are_known_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("file-token\n")
    (tmp_path / "stored").write_text("[one]\nhf_token = stored-token\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "stored"))
    monkeypatch.setenv("HF_TOKEN", "plain")
    monkeypatch.setenv("SOME_API_KEY", "k3y+with/odd?"[:9] + "99")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("PAGER_SECRET", "ordinary")
    found = this_machine().secrets
    assert {"plain", "file-token", "stored-token"} <= set(found)
    assert not {"false", "ordinary"} & set(found)


def test_names_that_tell_nobody_from_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for user, host, known in (
        ("root", "localhost", ((), ())),
        ("runner", "ubuntu", ((), ())),
        ("mark", "lab", ((), ())),
        ("alicesmith", "dell-7", (("alicesmith",), ("dell-7",))),
        ("bob42", "node1.cluster.lab", (("bob42",), ("node1.cluster.lab", "node1"))),
    ):
        monkeypatch.setattr("getpass.getuser", lambda user=user: user)
        monkeypatch.setattr("os.path.expanduser", lambda _, user=user: f"/home/{user}")
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        found = this_machine()
        assert (found.user, found.host) == known
        assert f"/home/{user}" in found.places
