"""Pickles wherever they hide, and that looking at them runs nothing."""

from __future__ import annotations

import collections
import gzip
import io
import pickle
import pickletools
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit.publish.diligence.opcodes import HARMLESS, programs
from audit.publish.diligence.pickles import pickles, scan


def op(name: str, argument: bytes = b"") -> bytes:
    """Write one opcode by the name that pickletools gives it."""
    [code] = [one.code for one in pickletools.opcodes if one.name == name]
    return code.encode("latin-1") + argument


def short(text: str) -> bytes:
    return op("SHORT_BINUNICODE", bytes([len(text)]) + text.encode())


@pytest.fixture
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that is there if anything of what follows was run."""
    return tmp_path_factory.mktemp("canary") / "was-run"


@pytest.fixture
def evil(canary: Path) -> bytes:
    """Build a pickle that would touch the canary by os.system, opcode by opcode."""
    command = f"touch {canary}".encode()
    said = op("BINUNICODE", len(command).to_bytes(4, "little") + command)
    return op("PROTO", b"\x02") + op("GLOBAL", b"os\nsystem\n") + said + op("TUPLE1") + op("REDUCE") + op("STOP")


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def test_the_pickle_of_these_tests_is_live(evil: bytes, canary: Path) -> None:
    """A scan of something that could not run would prove nothing: the opcodes are what pickletools reads."""
    assert [opcode.name for opcode, _, _ in pickletools.genops(evil)] == [
        *("PROTO", "GLOBAL", "BINUNICODE", "TUPLE1", "REDUCE", "STOP")
    ]
    pickletools.dis(evil, out=io.StringIO())  # checks the stack
    assert not canary.exists()


LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
HIDING: dict[str, Callable[[bytes], bytes]] = {
    "model.pkl": lambda evil: evil,
    "pytorch_model.bin": lambda evil: zipped(**{"archive/data.pkl": evil, "archive/version": b"3"}),
    "model.safetensors": lambda evil: evil,  # renamed
    "vocab.json": lambda evil: b"\x80\x01" + evil[2:-1] + b"\xff",  # an older protocol, cut off behind the call
    "weights.txt": lambda evil: zipped(**{"notes.md": evil}),  # a renamed pickle in a renamed zip
    "deep.zip": lambda evil: zipped(**{"inner.zip": zipped(**{"x": evil})}),
    "first.pt": lambda evil: evil + zipped(a=b"1"),  # both a pickle and a zip
    "model.nemo": lambda evil: tarred("./model.ckpt", evil),
    "rows.pkl.gz": lambda evil: gzip.compress(evil),
    "rows.joblib": lambda evil: zlib.compress(evil),
    "second.pkl": lambda evil: pickle.dumps([1]) + evil,
    "cut.pkl": lambda evil: evil[:-1] + b"\xff",  # runs before it breaks off
    "plain.pth": lambda evil: LEGACY + evil[2:],  # and that one without the mark of a protocol
    "inner/legacy.pth": lambda evil: LEGACY + evil,  # the fourth pickle of what torch wrote before 1.6
}


@pytest.mark.parametrize("name", HIDING)
def test_a_dangerous_pickle_is_found_wherever_it_hides(name: str, evil: bytes, canary: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(HIDING[name](evil))
    found = scan(tmp_path)
    assert (found.name, found.outcome) == ("pickles", "fail")
    assert repr("os system") in found.said
    assert name.split("/")[-1] in found.said
    assert not canary.exists()


def test_an_array_of_objects_is_a_pickle(tmp_path: Path, evil: bytes, canary: Path) -> None:
    np.save(tmp_path / "numbers.npy", np.arange(3.0))
    assert scan(tmp_path).outcome == "pass"
    header = str({"descr": "|\x4f", "fortran_order": False, "shape": (1,)}).replace("|O", "|\\x4f")  # O, in other words
    written = header.encode() + b"\n"
    (tmp_path / "sly.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(written).to_bytes(2, "little") + written + evil)
    assert [(one.file, one.foreign) for one in pickles(tmp_path)] == [("sly.npy", ("os system",))]
    assert not canary.exists()


@pytest.mark.parametrize("zip_format", [True, False])
def test_what_torch_writes_rebuilds_tensors_only(zip_format: bool, tmp_path: Path) -> None:
    state = collections.OrderedDict(
        a=torch.zeros(2), b=torch.ones(3, dtype=torch.bfloat16), c=torch.nn.Parameter(torch.eye(2))
    )
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zip_format)
    found = scan(tmp_path)
    assert found.outcome == "warn"
    [one] = pickles(tmp_path)
    assert {"torch._utils _rebuild_tensor_v2", "collections OrderedDict"} <= set(one.imports)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt", _use_new_zipfile_serialization=zip_format)
    assert scan(tmp_path).outcome == "fail"  # a whole module imports its class


def test_what_numpy_writes_rebuilds_arrays_only(tmp_path: Path) -> None:
    for protocol in range(6):
        (tmp_path / f"{protocol}.pkl").write_bytes(pickle.dumps({"x": np.arange(4), "y": np.float64(1)}, protocol))
    assert {one.foreign for one in pickles(tmp_path)} == {()}
    assert scan(tmp_path).outcome == "warn"


def test_the_allow_list_is_within_torchs_own() -> None:
    """Source: the names that torch.load(weights_only=True) lets a pickle import; numpy's are its documented pickles."""
    from torch import _weights_only_unpickler

    allowed = set(_weights_only_unpickler._get_allowed_globals())
    mine = {one.replace(" ", ".").replace("__builtin__", "builtins") for one in HARMLESS}
    numpy = {one for one in mine if one.startswith("numpy.")}
    assert mine - numpy <= allowed
    assert all(one.rsplit(".", 1)[1] in ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer") for one in numpy)


END = op("STACK_GLOBAL") + op("STOP")
NAMES = {
    "in two texts": short("os") + short("system") + END,
    "through the memo": short("system") + op("MEMOIZE") + op("POP") + short("os") + op("BINGET", b"\0") + END,
    "over a mark": short("os") + op("MARK") + short("torch") + op("POP_MARK") + short("system") + END,
    "from a slot that was filled twice": b"".join(
        [
            *(short("torch"), op("BINPUT", b"\1"), op("POP"), short("os"), op("BINPUT", b"\1"), op("POP")),
            *(op("BINGET", b"\1"), short("system"), END),
        ]
    ),
    "in one text": op("GLOBAL", b"os\nsystem\n") + op("STOP"),
    "as an instance": op("MARK") + op("INST", b"os\nsystem\n") + op("STOP"),
}


@pytest.mark.parametrize("way", NAMES)
def test_a_name_is_read_as_the_unpickler_reads_it(way: str) -> None:
    names = []

    class Asked(pickle.Unpickler):  # the real one, with a door that lets nothing through: an independent answer
        def find_class(self, module: str, name: str) -> Any:
            names.append(f"{module} {name}")
            return lambda: None

    content = op("PROTO", b"\x04") + NAMES[way]
    Asked(io.BytesIO(content)).load()
    assert names == ["os system"]
    found = programs(io.BytesIO(content), named=True)
    assert found is not None
    assert found.imports == {"os system"}


@pytest.mark.parametrize(
    "content",
    [
        op("GLOBAL", b"builtins\nstr\n") + op("EMPTY_TUPLE") + op("REDUCE") + short("system") + op("STACK_GLOBAL"),
        op("EXT1", b"\x01"),
    ],
)
def test_a_name_that_is_computed_is_no_harmless_one(content: bytes) -> None:
    found = programs(io.BytesIO(op("PROTO", b"\x04") + content + op("STOP")), named=True)
    assert found is not None
    assert "?" in found.imports


UNREADABLE = {
    "half.pkl": pickle.dumps(list(range(100)))[:20],
    "foreign.pkl": op("PROTO", b"\x02") + op("GLOBAL", "é\nsystem\n".encode()) + op("STOP"),
    "first.pkl": op("GLOBAL", "é\nsystem\n".encode()) + op("STOP"),
    "renamed.safetensors": op("PROTO", b"\x02") + op("GLOBAL", "é\nsystem\n".encode()) + op("STOP"),
    "model.7z": b"7z\xbc\xaf\x27\x1c rest",
    "broken.zip": zipped(a=b"text")[:-30] + zipped(a=b"text")[-22:],
    "cut.gz": gzip.compress(b"text " * 100)[:-10],
    "odd.npy": b"\x93NUMPY\x01\x00\x04\x00{'de",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_unknown_and_never_a_pass(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(UNREADABLE[name])
    found = scan(tmp_path)
    assert found.outcome == "unknown"
    assert name in found.said


def test_archives_that_never_end_are_unknown(tmp_path: Path) -> None:
    content = b"text"
    for _ in range(6):
        content = zipped(inner=content)
    (tmp_path / "deep.zip").write_bytes(content)
    assert scan(tmp_path).outcome == "unknown"


def test_links_are_not_passed_over(tmp_path: Path, evil: bytes) -> None:
    """The Hub's cache is made of links to files; a link to nowhere or to a folder is not looked through."""
    folder, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    folder.mkdir()
    blobs.mkdir()
    (blobs / "abc").write_bytes(evil)
    (folder / "lost").symlink_to(tmp_path / "nowhere")
    assert scan(folder).outcome == "unknown"
    (folder / "lost").unlink()
    (folder / "away").symlink_to(blobs)
    assert scan(folder).outcome == "unknown"
    (folder / "away").unlink()
    (folder / "model.bin").symlink_to(blobs / "abc")
    assert scan(folder).outcome == "fail"


def test_what_is_no_pickle_passes(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "vocab.txt").write_text("cat\ndog\nRabbit\nink\n.\n")  # begins with an import, if it were one
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "notes.zip").write_bytes(zipped(**{"a.txt": b"text"}))
    for columns in range(1, 120):  # headers of many lengths, 640 bytes (80 02 in a file) among them
        save_file({"x" * columns: np.zeros(2, np.float32)}, tmp_path / f"{columns}.safetensors")
    (tmp_path / "collides.safetensors").write_bytes((640).to_bytes(8, "little") + b"{}".ljust(640))
    assert (tmp_path / "collides.safetensors").read_bytes()[:2] == b"\x80\x02"
    assert scan(tmp_path).outcome == "pass"
    assert scan(tmp_path).evidence == {"pickles": []}


def test_a_text_with_an_escape_that_python_does_not_know_is_read_in_silence() -> None:
    """Protocol 0 quotes its texts; what stands in them is the stranger's."""
    found = programs(io.BytesIO(rb"S'\T'" + b"\n."), named=True)
    assert found is not None
    assert not found.imports
