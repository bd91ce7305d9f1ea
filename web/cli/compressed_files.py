"""Files of lines, plain or compressed (`.gz`, `.zst`), that can be carried on with when cut short.

A compressed file is a row of whole gzip members, or zstd frames, one for each block that was
written; every program that knows the format reads them as one. So a file that was cut short is good
up to the end of its last whole member, and goes on from there. While it is written it is called
`FILE.part`, and it gets its name when it is whole and on the disk: what has the name is complete.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    import backports.zstd as zstd  # noqa: PLR0402

STANDARD: Final = "-"
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 1024 * 1024
GZIP_MEMBER: Final = 31  # zlib's number for "one gzip member"


class Unreadable(Exception):
    """A file cannot be read to its end; the message says why."""


class Busy(Exception):
    """Somebody else is writing the file."""


class Unpacker(Protocol):
    """Unpacks one member; see `zlib.decompressobj`."""

    @property
    def eof(self) -> bool:
        """Return whether the end of the compressed stream was reached."""

    @property
    def unused_data(self) -> bytes:
        """Return the bytes after that end."""

    def decompress(self, data: bytes, /) -> bytes:
        """Return the bytes that these, with all before them, unpack to."""


class LineReader(Protocol):
    """Bytes that can be read line by line."""

    def readline(self, size: int, /) -> bytes:
        """Return the next line, or at most so many bytes of it; none at the end."""


class Compression(NamedTuple):
    """A way to compress.

    Attributes:
        suffix: of files' names.
        magic: how every file begins.
        pack: a block into a member of its own.
        unpacker: for one member.
        open: all members, as one stream of bytes.
    """

    suffix: str
    magic: bytes
    pack: Callable[[bytes], bytes]
    unpacker: Callable[[], Unpacker]
    open: Callable[[BinaryIO], LineReader]


def _gzip(block: bytes) -> bytes:
    return gzip.compress(block, compresslevel=6, mtime=0)  # no time: equal blocks, equal members


def _zstd(block: bytes) -> bytes:
    return zstd.compress(block, options={zstd.CompressionParameter.checksum_flag: 1})


def _open_gzip(file: BinaryIO) -> LineReader:
    return gzip.GzipFile(fileobj=file, mode="rb")


def _open_zstd(file: BinaryIO) -> LineReader:
    return zstd.ZstdFile(file, "rb")


COMPRESSIONS: Final[dict[str, Compression]] = {
    "gz": Compression(
        ".gz", b"\x1f\x8b", _gzip, lambda: zlib.decompressobj(GZIP_MEMBER), _open_gzip
    ),
    "zst": Compression(".zst", b"\x28\xb5\x2f\xfd", _zstd, zstd.ZstdDecompressor, _open_zstd),
}

_DAMAGED: Final = (gzip.BadGzipFile, zlib.error, zstd.ZstdError)


def compression_named(name: str) -> Compression | None:
    """Return how a file is compressed by its name; None for plain."""
    return next((one for one in COMPRESSIONS.values() if name.endswith(one.suffix)), None)


# Reading


@contextmanager
def reading(name: str) -> Iterator[Iterator[bytes]]:
    """Return the lines of a file, or of standard input for `-`, with their ends.

    Whether it is compressed is seen in the file, not taken from its name.

    Raises:
        Unreadable: in the middle, when the rest cannot be unpacked.
        OSError: there is no such file, or it cannot be read.
    """
    if name == STANDARD:
        yield _lines(sys.stdin.buffer, None)
    else:
        with Path(name).open("rb") as file:
            yield _lines(file, compression_named(name))


def _lines(file: Any, named: Compression | None) -> Iterator[bytes]:
    beginning = file.peek(4)
    compression = next(
        (one for one in COMPRESSIONS.values() if beginning.startswith(one.magic)), None
    )
    if named is not None and compression is not named and beginning:
        raise Unreadable(f"it is named {named.suffix}, and is not of that format")
    stream: LineReader = compression.open(file) if compression else file
    try:
        while line := stream.readline(LINE_BYTES_MAX):
            if len(line) == LINE_BYTES_MAX:
                raise Unreadable("it has a line without an end")
            yield line
    except EOFError:
        raise Unreadable("it is cut off: its compression does not come to an end") from None
    except _DAMAGED as error:
        raise Unreadable(f"it is damaged: {error}") from None


# Writing


class Part(NamedTuple):
    """What there is of a file that was cut short.

    Attributes:
        length: how many of its bytes are whole lines and whole members.
        first: its first line; empty if it has none.
        content_length, content_digest: of all of its whole lines, the latter SHA-256.
    """

    length: int
    first: bytes
    content_length: int
    content_digest: bytes


def part_of(file: Path) -> Path:
    """Return the file that is written until the whole takes the name's place."""
    return file.with_name(file.name + ".part")


def find_part(file: Path, compression: Compression | None) -> Part | None:
    """Return what there is of a file that was cut short; None if nobody has begun it."""
    length = content_length = 0
    first, digest = b"", hashlib.sha256()
    try:
        with part_of(file).open("rb") as part:
            for block in _members(part, compression) if compression else _whole_lines(part):
                length += block.length
                content_length += len(block.content)
                first = first or block.content.partition(b"\n")[0]
                digest.update(block.content)
    except FileNotFoundError:
        return None
    return Part(length, first, content_length, digest.digest())


@contextmanager
def writing(file: Path, *, carry_on_at: int = 0) -> Iterator[Callable[[bytes], object]]:
    """Return a context that writes a file, which takes its name's place when the block ends well.

    The context's value is the function that writes.

    Args:
        carry_on_at: `Part.length` of a file that was cut short.

    Raises:
        Busy: somebody else is writing it.
        OSError: it cannot be written.
    """
    part = part_of(file)
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{part} is being written by somebody else") from None
        os.fchmod(out.fileno(), 0o600)  # one that was there may be open to others
        out.truncate(carry_on_at)
        out.seek(carry_on_at)
        yield out.write
        out.flush()
        os.fsync(out.fileno())
        part.replace(file)
    _sync(file.parent)


def _sync(folder: Path) -> None:
    """Have a new name in a folder survive a loss of power."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class _Block(NamedTuple):
    length: int
    content: bytes


def _whole_lines(file: BinaryIO) -> Iterator[_Block]:
    for line in file:
        if line.endswith(b"\n"):
            yield _Block(len(line), line)


def _members(file: BinaryIO, compression: Compression) -> Iterator[_Block]:
    """Return the whole members, up to the first that is not."""
    left = b""
    while left or (left := file.read(CHUNK_BYTES)):
        unpacker, content, length, is_whole = compression.unpacker(), b"", 0, False
        while left and not is_whole:
            try:
                content += unpacker.decompress(left)
            except _DAMAGED:
                return
            length += len(left) - len(unpacker.unused_data)
            left, is_whole = unpacker.unused_data, unpacker.eof
            if not is_whole:
                left = file.read(CHUNK_BYTES)
        if not is_whole:
            return
        yield _Block(length, content)
