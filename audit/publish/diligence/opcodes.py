"""What a pickle would import, read from its opcodes with its stack followed along; nothing is run."""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass
from typing import IO, Any

__all__ = ["Program", "harmless", "marked", "programs"]

MARK = pickletools.markobject
CODES = {one.code for one in pickletools.opcodes}
TORCH_LEGACY = 0x1950A86A20F9469CFC6C  # the number that opens what torch wrote before 1.6: five pickles, then numbers
TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
CALLS = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}

REBUILDS = """
_codecs encode|collections OrderedDict|collections Counter
builtins bytearray|builtins complex|builtins set|__builtin__ bytearray|__builtin__ complex|__builtin__ set
torch Size|torch Tensor|torch device|torch.nn.parameter Parameter|torch.serialization _get_layout
torch.storage TypedStorage|torch.storage UntypedStorage
torch._utils _rebuild_tensor|torch._utils _rebuild_tensor_v2|torch._utils _rebuild_tensor_v3
torch._utils _rebuild_parameter|torch._utils _rebuild_parameter_with_state
torch._utils _rebuild_qtensor|torch._utils _rebuild_sparse_tensor|torch._utils _rebuild_meta_tensor_no_storage
torch QInt32Storage|torch QInt8Storage|torch QUInt8Storage
numpy ndarray|numpy dtype
numpy.core.multiarray _reconstruct|numpy.core.multiarray scalar
numpy._core.multiarray _reconstruct|numpy._core.multiarray scalar|numpy._core.numeric _frombuffer
numpy.core.numeric _frombuffer
"""
STORAGES = "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short"
TYPES = "bfloat16 bool complex128 complex64 float16 float32 float64 int16 int32 int64 int8 uint16 uint32 uint64 uint8"
HARMLESS = frozenset(
    [
        *(one for line in REBUILDS.split("\n") for one in line.split("|") if one),
        *(f"torch{place} {kind}Storage" for kind in STORAGES.split() for place in ("", ".cuda")),
        *(f"torch {kind}" for kind in TYPES.split()),
    ]
)


@dataclass(frozen=True)
class Program:
    """What a pickle would import (``module name``; ``?`` where the name is computed), and where reading broke off."""

    imports: frozenset[str]
    broken: str = ""


def harmless(name: str) -> bool:
    """Tell whether rebuilding a tensor or an array needs an import.

    Examples
    --------
    >>> harmless("torch._utils _rebuild_tensor_v2"), harmless("os system"), harmless("?")
    (True, False, False)
    """
    return name in HARMLESS


def marked(begun: bytes) -> bool:
    r"""Tell whether bytes begin as pickles do that name their protocol, as all do since the second.

    Examples
    --------
    >>> marked(b"\x80\x04\x95"), marked(b"{}")
    (True, False)
    """
    return begun[:1] == b"\x80" and len(begun) > 1 and begun[1] <= 5


def programs(stream: IO[bytes], named: bool) -> Program | None:
    """Read the pickles at the beginning of a stream.

    Parameters
    ----------
    stream : file
        At its beginning.
    named : bool
        Whether its name says that it is a pickle. Where it does not, bytes that only look like the beginning of one
        are none.

    Returns
    -------
    Program or None
        All pickles that follow on one another, taken together; ``None`` where there is none.

    Examples
    --------
    >>> import io, pickle
    >>> programs(io.BytesIO(pickle.dumps(print)), named=False)
    Program(imports=frozenset({'builtins print'}), broken='')
    >>> programs(io.BytesIO(b"# A model"), named=False) is None
    True
    """
    begun = stream.read(3).ljust(3, b"\0")
    stream.seek(0)
    protocol = marked(begun)
    if chr(begun[2 if protocol else 0]) not in CODES:
        return None
    first = _one(stream)
    if not (named or protocol) and (first.broken or not (first.imports and first.calls)):
        return None
    imports, broken = set(first.imports), first.broken
    legacy = first.value == TORCH_LEGACY
    for _ in range(4 if legacy else 1_000_000):
        following = stream.read(1)
        if broken or not following:
            break
        stream.seek(-1, 1)
        if not legacy and following != b"\x80":
            break
        more = _one(stream)
        imports |= more.imports
        broken = more.broken if legacy else ""
        if more.broken:
            break
    return Program(frozenset(imports), broken)


@dataclass
class _Read:
    """One pickle as far as it could be read: ``value`` is the last number, ``read`` the count of opcodes."""

    imports: set[str]
    calls: bool = False
    value: Any = None
    read: int = 0
    broken: str = ""


def _one(stream: IO[bytes]) -> _Read:
    """Follow one pickle to its end; of its values only texts are kept, for of them the names are made."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    found = _Read(set())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a text with an escape that Python does not know
            for opcode, argument, _ in pickletools.genops(stream):
                found.read += 1
                _step(opcode, argument, stack, memo, found)
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        found.broken = f"it is no whole pickle ({type(error).__name__} at opcode {found.read + 1})"
    return found


def _step(opcode: Any, argument: Any, stack: list[Any], memo: dict[int, Any], found: _Read) -> None:
    name = opcode.name
    found.calls = found.calls or name in CALLS
    if name in ("GLOBAL", "INST"):
        found.imports.add(argument)
    elif name == "STACK_GLOBAL":
        texts = stack[-2:]
        computed = len(texts) < 2 or not all(isinstance(one, str) for one in texts)
        found.imports.add("?" if computed else " ".join(texts))
    elif name.startswith("EXT"):
        found.imports.add("?")
    elif name in NUMBERS:
        found.value = argument
    if name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "DUP":
        stack.append(stack[-1])
    elif MARK in opcode.stack_before or (name == "POP" and stack and stack[-1] is MARK):
        while stack.pop() is not MARK:
            pass
        below = 0 if name == "POP" else len(opcode.stack_before[: opcode.stack_before.index(MARK)])
        _replace(opcode, argument, stack, below)
    else:
        _replace(opcode, argument, stack, len(opcode.stack_before))


def _replace(opcode: Any, argument: Any, stack: list[Any], taken: int) -> None:
    if taken > len(stack):
        raise IndexError
    del stack[len(stack) - taken :]
    kept = argument if opcode.name in TEXTS else None
    stack.extend(MARK if one is MARK else kept for one in opcode.stack_after)
