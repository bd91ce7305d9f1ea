"""Check what you were given of a Keyfold ledger, without Keyfold.

  python3 keyfold_verify.py EXPORT… --checkpoint FILE… --key VKEY
      Is the history in the export the one that the checkpoint was signed of?
  python3 keyfold_verify.py EXPORT… --old EXPORT…
      Which events are not what they were in an older export?
  python3 keyfold_verify.py RECEIPT… --key VKEY
      Is that event in the ledger?
  python3 keyfold_verify.py EXPORT… --account ACCOUNT --as-of TIME --known-at TIME [--answer FILE]
      What did the Subscriptions page have to show? And is that what it showed?

It needs Python 3.11 and, for signatures, the package `cryptography`; no network, no database. It is
written to be read. The formats are those of docs/proof-format.md: RFC 9162 for the tree, C2SP
signed-note, tlog-checkpoint and tlog-proof for checkpoints and receipts, CloudEvents for exports.

Exit code: 0 when all is well, 1 when it is not, 2 when it was called wrongly.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import os
import re
import sys
import tomllib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

FORMAT = 1
RECEIPT = b"c2sp.org/tlog-proof@v1\n"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
HASH_BYTES, ID_BYTES = 32, 4
LINE_BYTES_MAX = 64 * 1024 * 1024  # as `keyfold audit import` has it
# An event holds digests, which do not shrink: an export is 5 to 20 times its gzip, never this much.
EXPANSION_MAX = 100
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
CONSTANT = {"specversion": "1.0", "source": "/keyfold", "datacontenttype": "application/json"}
WINDOW = 1_024  # how far events are looked for that were removed or added in a row
EDITS_MAX = 10_000
LINES_MAX = 20
QUANTITY_MAX = 10**9  # of an item at Stripe; more was recorded before there was a greatest one
TEXT_MAX = 400

# What the catalog that comes with Keyfold calls its products; --catalog reads another.
CATALOG: list[dict[str, Any]] = [
    {"id": "cloud_pos", "name": "Cloud POS"},
    {
        "id": "integrations",
        "name": "Integrations",
        "tiers": [
            {"id": "starter", "name": "Starter"},
            {"id": "growth", "name": "Growth"},
            {"id": "scale", "name": "Scale"},
        ],
    },
]


class Wrong(Exception):
    """Something cannot be read; the message is the sentence that is shown."""


# Hashing: RFC 9162, section 2.1


def hash_leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows: the roots of its perfect subtrees, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.parts: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        ones = self.size
        while ones % 2:
            leaf = hash_node(self.parts.pop(), leaf)
            ones //= 2
        self.parts.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.parts:
            return hashlib.sha256(b"").digest()
        root = self.parts[-1]
        for left in self.parts[-2::-1]:
            root = hash_node(left, root)
        return root


def root_of_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Answer the root that an inclusion proof leads to; None if it does not fit the place."""
    if size == 1:
        return None if path else leaf
    if not path:
        return None
    half = 1 << ((size - 1).bit_length() - 1)
    if index < half:
        left, right = root_of_path(leaf, index, half, path[:-1]), path[-1]
        return left and hash_node(left, right)
    below = root_of_path(leaf, index - half, size - half, path[:-1])
    return below and hash_node(path[-1], below)


# Notes and checkpoints: C2SP signed-note, tlog-checkpoint


class Key(NamedTuple):
    """A verifier key: who signs, and what to check it with."""

    name: str
    id: bytes
    public: bytes


class Checkpoint(NamedTuple):
    """What somebody signed: the root of the first `size` events of the ledger `origin`."""

    source: str
    text: str
    signatures: list[tuple[str, bytes, bytes]]
    origin: str
    size: int
    root: bytes


def from_base64(text: str, what: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Wrong(f"{what} is not base64") from None
    if base64.b64encode(value).decode() != text:
        raise Wrong(f"{what} is not base64")
    return value


def read_key(text: str) -> Key:
    name, _, rest = text.strip().partition("+")
    id_text, _, encoded = rest.partition("+")
    key = from_base64(encoded, f"the key {text.strip()!r}")
    expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:ID_BYTES]
    if not name or key[:1] != b"\x01" or len(key) != 1 + HASH_BYTES or id_text != expected.hex():
        raise Wrong(f"{text.strip()!r} is no key: copy it again, it is written name+id+key")
    return Key(name, expected, key[1:])


def read_checkpoint(source: str, note: bytes) -> Checkpoint:
    try:
        whole = note.decode()
        text, blank, signed = whole.rpartition("\n\n")
        if not blank:  # typed in from paper, without the signatures
            text, signed = whole.removesuffix("\n"), ""
        origin, size, root, *_ = (text + "\n").split("\n")
        *lines, rest = signed.split("\n")
        signatures = [read_signature(line) for line in lines]
        hash = from_base64(root, "the root")
    except (ValueError, Wrong):
        raise Wrong(f"{source} is no checkpoint") from None
    if rest or not NUMBER.fullmatch(size) or len(hash) != HASH_BYTES:
        raise Wrong(f"{source} is no checkpoint")
    return Checkpoint(source, text + "\n", signatures, origin, int(size), hash)


def read_signature(line: str) -> tuple[str, bytes, bytes]:
    dash, name, encoded = line.split(" ")
    signature = from_base64(encoded, "a signature")
    if dash != "—" or not name or len(signature) <= ID_BYTES:
        raise Wrong("that is no signature")
    return name, signature[:ID_BYTES], signature[ID_BYTES:]


def is_signed(checkpoint: Checkpoint, keys: Sequence[Key]) -> bool:
    """Tell whether one of the keys has signed; a wrong signature of one of them spoils all."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise Wrong("signatures need the package `cryptography`: pip install it") from None
    signed = False
    for name, id, signature in checkpoint.signatures:
        for key in keys:
            if (key.name, key.id) == (name, id):
                try:
                    public = Ed25519PublicKey.from_public_bytes(key.public)
                    public.verify(signature, checkpoint.text.encode())
                except InvalidSignature:
                    return False
                signed = True
    return signed


def distrust(checkpoints: Sequence[Checkpoint], keys: Sequence[Key]) -> Iterator[str]:
    """Answer what speaks against checkpoints, before any event is looked at."""
    origins = {checkpoint.origin for checkpoint in checkpoints} | {key.name for key in keys}
    for checkpoint in checkpoints:
        signers = (
            ", ".join(f"{name}+{id.hex()}" for name, id, _ in checkpoint.signatures) or "no name"
        )
        if keys and not is_signed(checkpoint, keys):
            wanted = " or ".join(f"{key.name}+{key.id.hex()}" for key in keys)
            yield f"{checkpoint.source} is not signed by {wanted}: under it stands {signers}"
    if len(origins) > 1:
        yield f"these are of different ledgers: {', '.join(sorted(origins))}"
    elif not keys:
        for one, other in pairwise(one for one in checkpoints if one.signatures):
            if not {line[:2] for line in one.signatures} & {line[:2] for line in other.signatures}:
                yield f"{other.source} is signed by other keys than {one.source}"


# Exports: a header, then a CloudEvent a line


class Event(NamedTuple):
    """One event as the export has it; `time` is as it stands beside the state."""

    position: int
    stream: str
    version: int
    name: str
    state: bytes
    time: str | None

    def leaf(self) -> bytes:
        """Four fields, each after its length in four bytes."""
        texts = (self.stream.encode(), str(self.version).encode(), self.name.encode(), self.state)
        return hash_leaf(b"".join(len(text).to_bytes(4, "big") + text for text in texts))


class Export:
    """One or several files that follow on each other, read as one; each time from the start."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.said: list[str] = []
        self.roots: list[tuple[str, int, bytes]] = []

    def __iter__(self) -> Iterator[Event]:
        """Answer the events; what is out of order on the way is put into `said`."""
        self.said, self.roots = [], []
        expected = 1
        for name in self.names:
            with open_lines(name) as lines:
                first, last = self._header(name, lines, expected)
                seen = first - 1
                for number, line in enumerate(lines, start=2):
                    event = read_event(f"{name}, line {number}", line)
                    self._hold_to_place(name, event.position, seen + 1)
                    seen = event.position
                    yield event
            if seen != last:
                self.said.append(f"{name} ends after position {seen}; its header says {last}")
            expected = last + 1

    def _header(self, name: str, lines: Iterator[bytes], expected: int) -> tuple[int, int]:
        try:
            header = json.loads(next(lines, b""))
            version, first, last = header["keyfold_export"], header["first"], header["last"]
            root = header.get("root")
        except (ValueError, TypeError, KeyError):
            raise Wrong(f"{name} does not begin with an export's header") from None
        if version != FORMAT:
            raise Wrong(f"{name} is of format {version!r}; this program knows {FORMAT}")
        if first != expected:
            raise Wrong(
                f"{name} begins at position {first}, where {expected} is needed:"
                " name the files from position 1 on, in order"
            )
        if root is not None:
            self.roots.append((name, last, from_base64(root, f"the root in {name}")))
        return first, last

    def _hold_to_place(self, name: str, position: int, expected: int) -> None:
        if position == expected:
            return
        if position == expected - 1:
            what = f"position {position} is there twice"
        elif position > expected:
            missing = f"{expected}" if position == expected + 1 else f"{expected} to {position - 1}"
            what = f"position {missing} is missing"
        else:
            what = f"position {position} comes after {expected - 1}"
        self.said.append(f"{name}: {what}")


@contextmanager
def open_lines(name: str) -> Iterator[Iterator[bytes]]:
    """Open a plain or gzipped file; answer its lines."""
    with Path(name).open("rb") as file:
        start = file.peek(4)[:4]
        if start == ZSTD:
            raise Wrong(f"{name} is zstd: unpack it first, with `zstd -d {name}`")
        if start[:2] == GZIP:
            most = LINE_BYTES_MAX + EXPANSION_MAX * os.fstat(file.fileno()).st_size
            yield lines_of(name, gzip.GzipFile(fileobj=file), most)
        else:
            yield lines_of(name, file, None)


def lines_of(name: str, file: IO[bytes] | gzip.GzipFile, most: int | None) -> Iterator[bytes]:
    """Return the lines of a file; of one that is unpacked no more than so many bytes."""
    total = 0
    try:
        while line := file.readline(LINE_BYTES_MAX + 1):
            total += len(line)
            if len(line) > LINE_BYTES_MAX:
                raise Wrong(f"{name} has a line of more than {LINE_BYTES_MAX} bytes")
            if most is not None and total > most:
                raise Wrong(f"{name} unpacks to more than {EXPANSION_MAX} times its size")
            if not line.endswith(b"\n"):
                raise Wrong(f"{name} is cut off in the middle of a line")
            yield line
    except EOFError:
        raise Wrong(f"{name} is cut off: its gzip does not come to an end") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Wrong(f"{name} is damaged: {error}") from None


def read_event(place: str, line: bytes) -> Event:
    try:
        found = json.loads(line, object_pairs_hook=once)
        event = Event(
            to_number(found["id"]),
            found["subject"],
            int(found["keyfoldversion"]),
            found["type"],
            from_base64(found["data_base64"], "its state"),
            found.get("time"),
        )
        for name, value in CONSTANT.items():
            if found[name] != value:
                raise Wrong(f"its {name} is not {value}")  # noqa: TRY301 - one place for all
    except (ValueError, TypeError, KeyError, Wrong) as error:
        raise Wrong(f"{place} is no event of an export: {error}") from None
    if event.time != recorded_at(event.state):
        raise Wrong(f"{place}: position {event.position} has another time than the event in it")
    return event


def to_number(text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return int(text)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def recorded_at(state: bytes) -> str | None:
    try:
        found = json.loads(state)["recorded_at"]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, str) else None


# Checking an export


class Held:
    """A tree that grows, held against the roots of checkpoints when it comes to their sizes."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        self.tree = Tree()
        self.agreed = 0
        self.agreeing: list[str] = []
        self.against: tuple[Checkpoint, int] | None = None
        self.waiting = sorted(checkpoints, key=lambda one: one.size)
        self._hold()

    def add(self, leaf: bytes) -> None:
        self.tree.add(leaf)
        self._hold()

    def _hold(self) -> None:
        while self.waiting and self.waiting[0].size == self.tree.size:
            checkpoint = self.waiting.pop(0)
            if checkpoint.root == self.tree.root():
                self.agreed = checkpoint.size
                self.agreeing.append(checkpoint.source)
            elif self.against is None:
                self.against = checkpoint, self.agreed


def check(export: Export, held: Held, kept: list[Event], stream: str | None) -> Iterator[str]:
    """Hold an export against checkpoints, and keep the events of one stream; answer what is wrong.

    Where exactly something was changed cannot be seen from a root: only that it is after the last
    checkpoint that agrees, and before the first that does not. What the events tell by themselves
    is told as well.
    """
    for event in export:
        held.add(event.leaf())
        if event.stream == stream:
            kept.append(event)
    yield from export.said
    for name, last, root in export.roots:
        if last == held.tree.size and root != held.tree.root():
            yield f"{name} has events that do not give the root in its own header"
    if held.against:
        yield from told_against(export, *held.against)
    if held.waiting:
        last = held.waiting[-1].size
        yield (
            f"cut off: the export ends at position {held.tree.size}, and {held.waiting[-1].source}"
            f" is of {last} events: {positions(held.tree.size + 1, last)} missing"
        )


def told_against(export: Export, checkpoint: Checkpoint, agreed: int) -> Iterator[str]:
    first, last = agreed + 1, checkpoint.size
    yield (
        f"changed: the first {last} events are not those that {checkpoint.source} was signed of;"
        f" what was changed, removed, added or swapped is among positions {first} to {last}"
    )
    found = list(islice(clues(export, first, last), LINES_MAX))
    yield from found
    if not found:
        yield (
            "the events tell no more by themselves: an older export (--old), or a checkpoint of"
            " fewer events, tells which it is"
        )


def clues(export: Export, first: int, last: int) -> Iterator[str]:
    """Answer what in the events themselves is not as Keyfold writes it."""
    reached: dict[str, tuple[int, int, str]] = {}
    for event in export:
        if event.position > last:
            return
        version, position, time = reached.get(event.stream, (0, 0, ""))
        where = f"position {event.position} ({event.stream}, version {event.version})"
        if event.position >= first:
            if event.version != version + 1:
                before = f"version {version} at position {position}" if version else "nothing"
                yield f"{where} follows on {before}: one was removed, added, swapped or renumbered"
            if event.time is None:
                yield f"{where} has a state that is none of Keyfold's"
            elif in_order(event.time) < in_order(time):
                yield f"{where} was recorded before position {position} of the same stream"
        reached[event.stream] = (event.version, event.position, event.time or time)


def in_order(time: str) -> tuple[str, str]:
    """Answer what sorts times of UTC, with or without a fraction."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return whole, fraction


def positions(first: int, last: int) -> str:
    return f"position {first} is" if first == last else f"positions {first} to {last} are"


# Comparing with an older export


class Edit(NamedTuple):
    """What became of one event: None where there is none."""

    old: Event | None
    new: Event | None
    at_end: bool


def compare(old: Iterable[Event], new: Iterable[Event]) -> Iterator[str]:
    """Answer what became of the events of an older export."""
    edits = list(islice(find_edits(iter(old), iter(new)), EDITS_MAX))
    places = {edit.new.leaf(): edit.new.position for edit in edits if edit.new}
    moved = {leaf for leaf in (edit.old.leaf() for edit in edits if edit.old) if leaf in places}
    for old_event, new_event, at_end in edits:
        if old_event and old_event.leaf() in moved:
            there = places[old_event.leaf()]
            yield f"swapped: what was at position {old_event.position} is now at {there}"
        elif old_event and new_event and new_event.leaf() not in moved:
            what = ", ".join(differing(old_event, new_event))
            yield f"changed: {placed(old_event)}: {what}"
        elif old_event:
            yield f"{'cut off' if at_end else 'removed'}: {placed(old_event)}"
        elif new_event and new_event.leaf() not in moved:
            yield f"added: {placed(new_event)}"
    if len(edits) == EDITS_MAX:
        yield f"more than {EDITS_MAX} events are others; the rest was not compared"


def find_edits(old: Iterator[Event], new: Iterator[Event]) -> Iterator[Edit]:
    before: list[Event] = []
    after: list[Event] = []
    while True:
        before += islice(old, WINDOW - len(before))
        after += islice(new, WINDOW - len(after))
        if not before:
            return
        gone = come = alike(before, after)
        if not gone:
            gone, come = meeting(before, after)
            at_end = come == len(after) < WINDOW
            ended = gone == len(before) < WINDOW  # what comes after that is new
            for place in range(gone if ended else max(gone, come)):
                yield Edit(
                    before[place] if place < gone else None,
                    after[place] if place < come else None,
                    at_end,
                )
        del before[:gone], after[:come]


def alike(before: list[Event], after: list[Event]) -> int:
    """Answer how many events are the same."""
    pairs = enumerate(zip(before, after, strict=False))
    first = (place for place, (one, other) in pairs if one.leaf() != other.leaf())
    return next(first, min(len(before), len(after)))


def meeting(before: list[Event], after: list[Event]) -> tuple[int, int]:
    """Answer after how many events of each side the two are the same again."""
    places = {event.leaf(): place for place, event in reversed(list(enumerate(before)))}
    found = ((places.get(event.leaf(), -1), place) for place, event in enumerate(after))
    return min((one for one in found if one[0] >= 0), key=sum, default=(len(before), len(after)))


def placed(event: Event) -> str:
    return f"position {event.position} ({event.stream}, version {event.version})"


def differing(one: Event, other: Event) -> Iterator[str]:
    for what in ("stream", "version", "name", "state"):
        was, is_now = getattr(one, what), getattr(other, what)
        if was != is_now:
            yield f"its {what} was {shown(was)} and is {shown(is_now)}"


def shown(value: object) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "…"


# Receipts: C2SP tlog-proof


def check_receipt(name: str, receipt: bytes) -> tuple[Event, Checkpoint]:
    """Answer the event that a receipt proves, and the checkpoint that it is proved by."""
    head, _, note = receipt.partition(b"\n\n")
    try:
        _, extra, index_line, *path = head.decode().split("\n")
        index = to_number(index_line.removeprefix("index "))
        event = read_event(name, from_base64(extra.removeprefix("extra "), "the event"))
        hashes = [from_base64(line, "a hash") for line in path]
    except (ValueError, Wrong):
        raise Wrong(f"{name} is no receipt, or a damaged one") from None
    checkpoint = read_checkpoint(f"the checkpoint in {name}", note)
    if any(len(hash) != HASH_BYTES for hash in hashes):
        raise Wrong(f"{name} is no receipt, or a damaged one")
    if event.position != index + 1 or not 0 <= index < checkpoint.size:
        raise Wrong(f"{name} has position {event.position}, and proves another: {index + 1}")
    if root_of_path(event.leaf(), index, checkpoint.size, hashes) != checkpoint.root:
        raise Wrong(
            f"{name}: the event at position {event.position} is not the one in the ledger that"
            " the checkpoint was signed of"
        )
    return event, checkpoint


# The Subscriptions view


class Line(NamedTuple):
    """What a subscription has of one product and tier, at the moment asked about.

    Attributes:
        open: its seats are billed by the number of holders, so that it takes all who are left.
        gives: whether it gives seats at that moment.
        ended_at: when it ended, if it has; one that does not give and has not ended rests.
    """

    id: str
    product: str
    tier: str | None
    seats: int
    open: bool
    gives: bool
    ended_at: datetime | None
    key: str | None
    stripe_subscription: str | None
    status: str
    started_at: datetime
    expires_at: datetime | None
    renews: bool
    can_manage: bool

    def order(self) -> tuple[bool, float, datetime, str]:
        """In which the rows of a pool are filled: renewing, latest end, earliest start, id."""
        end = -self.expires_at.timestamp() if self.expires_at else float("-inf")
        return not self.renews, end, self.started_at, self.id


class Subscription(NamedTuple):
    """What a redeemed key gave."""

    id: str
    masked: str
    product: str
    tier: str | None
    seats: int
    started_at: datetime
    expires_at: datetime
    terminated_at: datetime | None = None

    def line(self, at: datetime) -> Line:
        status = "active" if at < self.expires_at else "expired"
        if self.terminated_at is not None:
            status = "terminated"
        return Line(
            self.id,
            self.product,
            self.tier,
            self.seats,
            open=False,
            gives=status == "active",
            ended_at=None if status == "active" else self.terminated_at or self.expires_at,
            key=self.masked,
            stripe_subscription=None,
            status=status,
            started_at=self.started_at,
            expires_at=self.expires_at,
            renews=False,
            can_manage=False,
        )


# What Stripe says about a subscription comes in any order, and more than once. So its reports are
# ranked, and the one that ranks highest is how it is; ledger/stripe/subscriptions.py says why.

GIVING = {"active", "trialing", "past_due"}
ENDED = {"canceled", "incomplete_expired"}
SILENCE_MAX = timedelta(days=3)  # for so long Stripe tries again to tell of a renewal
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Report(NamedTuple):
    """A report of Stripe's, as it was recorded."""

    fact: dict[str, Any]

    def time(self, name: str) -> datetime | None:
        return parse_time(self.fact[name]) if self.fact[name] else None

    @property
    def created(self) -> datetime:
        return parse_time(self.fact["created"])

    @property
    def history(self) -> dict[str, Any]:
        """What followed from earlier reports, in the account that the subscription left."""
        return self.fact.get("history") or {}

    @property
    def is_end(self) -> bool:
        return self.fact["status"] in ENDED or self.fact["source"].endswith(".deleted")

    @property
    def has_status(self) -> bool:
        return self.fact["status"] is not None

    def order(self) -> tuple[bool, datetime, bool, datetime, str]:
        return (
            not self.fact["source"].endswith("subscription.created"),
            self.created,
            self.fact["source"] == "retrieved",
            self.time("retrieved_at") or LONG_AGO,
            self.fact["stripe_event"] or "",
        )


class Mappings(NamedTuple):
    """What prices were said to mean on record: by price; and by subscription and price."""

    of_account: dict[str, Any]
    of_subscription: dict[str, dict[str, Any]]


def first_meanings(reports: list[Report]) -> dict[str, Any]:
    """Return what each price means that ever meant something: what the first report said."""
    found: dict[str, tuple[Any, Any]] = {}
    for report in reports:
        for price, known in (report.history.get("prices") or {}).items():
            (first, created, is_look, looked, event), meaning, *rest = known
            order = (first, parse_time(created), is_look, parse_time(looked), event)
            rank = meaning_rank(order, meaning, *rest)
            if price not in found or rank < found[price][0]:
                found[price] = rank, meaning
        for item in report.fact["items"] or []:
            meaning, price = item.get("meaning"), item["price"]
            if meaning is None or price is None:
                continue
            its = item["id"], item["lookup_key"], item["stripe_product"]
            rank = meaning_rank(report.order(), meaning, *its)
            if price not in found or rank < found[price][0]:
                found[price] = rank, meaning
    return {price: meaning for price, (_, meaning) in found.items()}


def meaning_rank(
    order: Any, meaning: dict[str, Any], item: str | None, key: str | None, product: str | None
) -> tuple[Any, ...]:
    """Return what the first of several meanings of a price is told by."""
    said = (meaning["product"], meaning["tier"] or "", meaning["per_unit"])
    more = (meaning.get("included", 0), meaning.get("billed", False), item or "")
    return order, said, more, (key or "", product or "")


class StripeSubscription:
    """A subscription at Stripe, as its reports make it.

    An end is final, whenever it was said; a report with a status counts more than one without; then
    the later one. Its items are those of the last that tells any.
    """

    def __init__(self, id: str, reports: list[Report]) -> None:
        self.id = id
        telling = [report for report in reports if report.fact["items"] is not None]
        self.known = first_meanings(reports)
        last = max(telling, key=lambda one: (one.is_end, one.order()), default=None)
        self.told = max(reports, key=lambda one: (one.is_end, one.has_status, one.order()))
        self.items = last.fact["items"] if last else []
        self.started_at = self.told.time("started_at") or self.told.created
        self.period_end = first_end(self.items)
        self.ends_at = self._ends_at()

    def _ends_at(self) -> datetime | None:
        told = self.told
        if told.is_end:
            return told.time("ended_at") or told.time("canceled_at") or told.created
        if told.fact["cancel_at"]:
            return told.time("cancel_at")
        return self.period_end if told.fact["cancel_at_period_end"] else None

    def status(self, at: datetime, period_end: datetime | None) -> str:
        if self.ends_at is not None and at >= self.ends_at:
            return "canceled"
        status: str = self.told.fact["status"] or "unknown"
        is_silent = period_end is not None and at - period_end > SILENCE_MAX
        return "unconfirmed" if status in GIVING and is_silent else status

    def meaning_of(self, item: dict[str, Any], mappings: Mappings) -> Any:
        """Return what an item's price means in this subscription; None if nothing is known of it.

        What somebody said on record of a price that the subscription had; else what its first
        report said that gave the price a meaning; else what was said of it for the account.
        """
        price = item["price"]
        if price is None:
            return item.get("meaning")
        remapped = mappings.of_subscription.get(self.id, {}).get(price)
        return remapped or self.known.get(price) or mappings.of_account.get(price)

    def lines(self, mappings: Mappings, at: datetime) -> Iterator[Line]:
        """Answer what it has, by product and tier; nothing of a price that means nothing."""
        parts: dict[tuple[str, str | None], list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        for item in self.items:
            meaning = self.meaning_of(item, mappings)
            if meaning is not None:
                parts.setdefault((meaning["product"], meaning["tier"]), []).append((item, meaning))
        for (product, tier), its in parts.items():
            yield self._line(product, tier, its, at)

    def _line(
        self,
        product: str,
        tier: str | None,
        its: list[tuple[dict[str, Any], dict[str, Any]]],
        at: datetime,
    ) -> Line:
        period_end, end = first_end([item for item, _ in its]), self.ends_at
        status = self.status(at, period_end)
        has_ended = end is not None and at >= end
        digest = hashlib.sha256(b"keyfold stripe subscription\0" + self.id.encode()).digest()
        return Line(
            "kfsub_" + base64.b32encode(digest[:17]).decode().lower()[:26],
            product,
            tier,
            sum(
                meaning.get("included", 0) + meaning["per_unit"] * counted(item["quantity"])
                for item, meaning in its
            ),
            open=any(meaning.get("billed", False) for _, meaning in its),
            gives=status in GIVING and at >= self.started_at,
            ended_at=end if has_ended else None,
            key=None,
            stripe_subscription=self.id,
            status=status,
            started_at=self.started_at,
            expires_at=period_end if end is None else end,
            renews=end is None and not self.told.is_end,
            can_manage=self.told.fact["customer"] is not None and not has_ended,
        )


def counted(quantity: int | None) -> int:
    """Return how many of an item there are; none where that is not known."""
    return quantity if quantity is not None and quantity <= QUANTITY_MAX else 0


def first_end(items: list[dict[str, Any]]) -> datetime | None:
    """Answer when the first of some items' periods ends."""
    ends = [parse_time(item["period_end"]) for item in items if item["period_end"]]
    return min(ends, default=None)


class Account:
    """An account, as its events make it."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.reports: dict[str, list[Report]] = {}
        self.mappings = Mappings({}, {})
        self.seats: dict[tuple[str, str], str | None] = {}

    def lines(self, at: datetime) -> list[Line]:
        """Answer everything that it ever had."""
        of_keys = [subscription.line(at) for subscription in self.subscriptions.values()]
        of_stripe = [StripeSubscription(id, reports) for id, reports in self.reports.items()]
        return of_keys + [line for one in of_stripe for line in one.lines(self.mappings, at)]

    def apply(self, event: Event) -> None:
        state = json.loads(event.state)
        fact, occurred = state["fact"], parse_time(state["occurred_at"])
        match event.name:
            case "account.subscription_activated@1":
                self.subscriptions[fact["subscription"]] = Subscription(
                    fact["subscription"],
                    fact["masked"],
                    fact["product"],
                    fact["tier"],
                    fact["seats"],
                    occurred,
                    parse_time(fact["expires_at"]),
                )
            case "account.subscription_key_reissued@1":
                self._change(fact["subscription"], masked=fact["masked"])
            case "account.subscription_terminated@1":
                self._change(fact["subscription"], terminated_at=occurred)
            case "account.seat_occupied@1":
                self.seats[fact["product"], fact["holder"]] = fact["tier"]
            case "account.seat_released@1":
                self.seats.pop((fact["product"], fact["holder"]), None)
            case "stripe.subscription_reported@1":
                id, report = fact["stripe_subscription"], Report(fact)
                # Read whole at once, so that what is wrong with it is told of its position.
                list(StripeSubscription(id, [report]).lines(Mappings({}, {}), occurred))
                self.reports.setdefault(id, []).append(report)
                remapped = report.history.get("remapped") or {}
                self.mappings.of_subscription.setdefault(id, {}).update(remapped)
            case "stripe.subscription_given_up@1":
                self.reports.pop(fact["stripe_subscription"], None)
                self.mappings.of_subscription.pop(fact["stripe_subscription"], None)
            case "stripe.prices_mapped@1":
                self._map(fact["meanings"])
            case name if name in NOT_SHOWN:
                pass
            case _:
                raise Wrong(
                    f"position {event.position} is {event.name}, which this program does not know:"
                    " have it written out by the Keyfold that made the export"
                )

    def _map(self, meanings: dict[str, Any]) -> None:
        self.mappings.of_account.update(meanings)
        for id, reports in self.reports.items():
            one = StripeSubscription(id, reports)
            its = {*one.known, *(item["price"] for item in one.items)}
            found = {price: meaning for price, meaning in meanings.items() if price in its}
            self.mappings.of_subscription.setdefault(id, {}).update(found)

    def _change(self, id: str, **changes: Any) -> None:
        if id in self.subscriptions:
            self.subscriptions[id] = self.subscriptions[id]._replace(**changes)


# Of texts, of money, and of who is who at Stripe: nothing of these is in the Subscriptions view.
NOT_SHOWN = {
    "account.seat_relabelled@1",
    "account.erased@1",
    "stripe.invoice_reported@1",
    "stripe.checkout_started@1",
    "stripe.checkout_reported@1",
    "stripe.charge_reported@1",
    "stripe.customer_linked@1",
    "stripe.customer_unlinked@1",
    "stripe.customer_deleted@1",
    "stripe.seat_sync_started@1",
    "stripe.seat_sync_failed@1",
    "stripe.seats_synced@1",
    "stripe.seats_asked@1",
    "stripe.seats_answered@1",
}


class Asked(NamedTuple):
    """A question about an account; None for no limit."""

    account: str
    as_of: datetime | None
    known_at: datetime | None
    position: int | None
    ended: bool


def view(asked: Asked, events: Iterable[Event], head: int, catalog: list[dict[str, Any]]) -> Any:
    """Answer what the API answers."""
    account, now = Account(), datetime.now(UTC)
    for event in events:
        if asked.position is not None and event.position > asked.position:
            break
        with readable(event):
            state = json.loads(event.state)
            recorded, occurred = parse_time(state["recorded_at"]), parse_time(state["occurred_at"])
            is_known = asked.known_at is None or recorded <= asked.known_at
            if is_known and (asked.as_of is None or occurred <= asked.as_of):
                account.apply(event)
    at = asked.as_of or now
    lines = account.lines(at)
    known = [product["id"] for product in catalog]
    used = {product for product, _ in account.seats}
    left = (used | {line.product for line in lines}) - set(known)
    extra = [{"id": id, "name": id} for id in sorted(left)]
    shown = [view_product(account, lines, product, asked.ended) for product in catalog]
    more = [view_product(account, lines, product, asked.ended) for product in extra]
    return {
        "account": asked.account,
        "as_of": write_time(at),
        "known_at": write_time(asked.known_at or now),
        "position": head if asked.position is None else asked.position,
        "products": shown + [product for product in more if product["rows"] or product["used"]],
    }


@contextmanager
def readable(event: Event) -> Iterator[None]:
    """Say of an event that cannot be read which it is."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError):
        raise Wrong(f"position {event.position} has a state that is none of Keyfold's") from None


def view_product(account: Account, lines: list[Line], product: dict[str, Any], ended: bool) -> Any:
    """Answer a product's rows: those that give seats, then those that rest, then those that ended,
    the latest end first.
    """
    id, names = product["id"], {tier["id"]: tier["name"] for tier in product.get("tiers", [])}
    mine = [line for line in lines if line.product == id]
    holders = [tier for (of, _), tier in account.seats.items() if of == id]
    others = {line.tier for line in mine} | set(holders)
    tiers: list[str | None] = [*(names or [None])]
    rows: list[Any] = []
    resting: list[Line] = []
    gone: list[Line] = []
    seats, over = 0, 0
    for tier in [*tiers, *sorted(others.difference(tiers), key=str)]:
        waiting = holders.count(tier)
        here = [line for line in mine if line.tier == tier]
        for line in sorted((line for line in here if line.gives), key=Line.order):
            used = waiting if line.open else min(line.seats, waiting)
            rows += [view_row(line, names, used)] if line.seats or line.open else []
            seats, waiting = seats + line.seats, waiting - used
        over += waiting
        idle = [line for line in here if not line.gives and (line.seats or line.open)]
        idle.sort(key=lambda line: (line.started_at, line.id))
        resting += [line for line in idle if line.ended_at is None]
        gone += [line for line in idle if line.ended_at is not None]
    gone.sort(key=lambda line: (line.ended_at or LONG_AGO, line.id), reverse=True)
    return {
        "product": id,
        "name": product["name"],
        "seats": seats,
        "used": len(holders),
        "over": over,
        "rows": rows + [view_row(line, names, 0) for line in resting + (gone if ended else [])],
    }


def view_row(line: Line, names: dict[str, str], used: int) -> Any:
    return {
        "subscription": line.id,
        "tier": line.tier,
        "tier_name": names.get(line.tier, line.tier) if line.tier else None,
        "seats": line.seats,
        "used": used,
        "source": "stripe" if line.stripe_subscription else "activation_key",
        "key": line.key,
        "stripe_subscription": line.stripe_subscription,
        "status": line.status,
        "started_at": write_time(line.started_at),
        "expires_at": write_time(line.expires_at) if line.expires_at else None,
        "renews": line.renews,
        "can_manage": line.can_manage,
    }


def parse_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Wrong(f"{text!r} is no time like 2026-03-01T09:00:00Z") from None
    if found.tzinfo is None:
        raise Wrong(f"{text!r} has no zone: write it like 2026-03-01T09:00:00Z")
    return found.astimezone(UTC)


def write_time(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def unlike(path: str, saved: Any, derived: Any) -> Iterator[str]:
    """Answer where a saved answer is not the derived one."""
    if isinstance(saved, dict) and isinstance(derived, dict):
        for name in [*derived, *(name for name in saved if name not in derived)]:
            yield from unlike(f"{path}/{name}", saved.get(name), derived.get(name))
    elif isinstance(saved, list) and isinstance(derived, list) and len(saved) == len(derived):
        for place, (one, other) in enumerate(zip(saved, derived, strict=True)):
            yield from unlike(f"{path}/{place}", one, other)
    elif saved != derived:
        yield f"the answer differs: {path} was {json.dumps(saved)}, and is {json.dumps(derived)}"


# The command line


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    wrong = 0
    try:
        for line in run(asked):
            wrong += 1
            if wrong <= LINES_MAX:
                tell(f"WRONG  {line}")
    except (Wrong, OSError) as error:
        wrong += 1
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        tell(f"WRONG  {why}")
    if wrong > LINES_MAX:
        tell(f"WRONG  … {wrong} in all")
    return 1 if wrong else 0


def run(asked: argparse.Namespace) -> Iterator[str]:
    """Do what is asked; answer what is wrong."""
    keys = [read_key(line) for key in asked.key for line in key_lines(key)]
    checkpoints = [read_checkpoint(name, Path(name).read_bytes()) for name in asked.checkpoint]
    yield from distrust(checkpoints, keys)
    if checkpoints and not keys:
        tell("note   no signature was checked: --key was not given")
    receipts = [name for name in asked.files if is_receipt(name)]
    for name in receipts:
        yield from run_receipt(name, keys, checkpoints)
    exports = [name for name in asked.files if name not in receipts]
    if exports:
        trusted = [one for one in checkpoints if not keys or is_signed(one, keys)]
        yield from run_export(Export(exports), trusted, asked)


def run_receipt(name: str, keys: list[Key], held: list[Checkpoint]) -> Iterator[str]:
    event, checkpoint = check_receipt(name, Path(name).read_bytes())
    doubts = list(distrust([checkpoint], keys))
    is_held = any(one[3:] == checkpoint[3:] for one in held)
    if not keys and not is_held:
        doubts.append(f"{name}: nobody's signature was checked: give --key")
    yield from doubts
    if not doubts:
        tell(f"good   {name}: position {event.position} of {checkpoint.origin},")
        tell(f"       in the ledger as it was at {checkpoint.size} events:")
        tell(f"       {event.name} on {event.stream}, version {event.version}")
        tell(f"       {shown(event.state)}")


def run_export(
    export: Export, checkpoints: list[Checkpoint], asked: argparse.Namespace
) -> Iterator[str]:
    held, kept = Held(checkpoints), list[Event]()
    found = list(check(export, held, kept, f"account-{asked.account}"))
    size = held.tree.size
    tell(f"read   {size} events, root {base64.b64encode(held.tree.root()).decode()}")
    for source in held.agreeing:
        tell(f"good   {source} was signed of the same events")
    if not checkpoints:
        tell("note   an export alone cannot tell what was before: give --checkpoint or --old")
    elif size > held.agreed and not found:
        tell(f"note   {positions(held.agreed + 1, size)} after the last checkpoint")
    yield from found
    if asked.old:
        yield from run_comparison(Export(asked.old), export)
    if asked.account:
        yield from run_view(kept, size, asked)


def run_comparison(old: Export, new: Export) -> Iterator[str]:
    found = list(compare(old, new))
    yield from [*old.said, *found]
    if not found:
        tell("good   every event of the older export is still there, unchanged")


def run_view(kept: list[Event], head: int, asked: argparse.Namespace) -> Iterator[str]:
    saved = read_answer(asked.answer) if asked.answer else None
    question = question_of(asked, saved)
    if question.position is not None and question.position > head:
        yield f"the answer is of position {question.position}, and the export ends at {head}"
        return
    derived = view(question, kept, head, read_catalog(asked.catalog))
    if saved is not None and saved != derived:  # it does not say whether ended rows were asked for
        other = question._replace(ended=not question.ended)
        derived = max(
            (derived, view(other, kept, head, read_catalog(asked.catalog))),
            key=lambda one: -len(list(unlike("", saved, one))),
        )
    sys.stdout.write(json.dumps(derived, ensure_ascii=False, indent=2) + "\n")
    if saved is not None:
        different = list(unlike("", saved, derived))
        yield from different
        if not different:
            tell(f"good   {asked.answer} is what follows from these events")


def read_answer(name: str) -> Any:
    try:
        return json.loads(Path(name).read_bytes())
    except ValueError:
        raise Wrong(f"{name} is no answer of the Subscriptions view") from None


def question_of(asked: argparse.Namespace, saved: Any) -> Asked:
    """Answer what is asked; what is left open is as in the saved answer, if there is one."""
    times, position = [asked.as_of, asked.known_at], None
    if saved is not None:
        try:
            account, position = saved["account"], int(saved["position"])
            times = [times[0] or saved["as_of"], times[1] or saved["known_at"]]
        except (LookupError, TypeError, ValueError):
            raise Wrong(f"{asked.answer} is no answer of the Subscriptions view") from None
        if account != asked.account:
            raise Wrong(f"{asked.answer} is of the account {account!r}")
    as_of, known_at = (parse_time(time) if time else None for time in times)
    return Asked(asked.account, as_of, known_at, position, asked.all)


def read_catalog(name: str | None) -> list[dict[str, Any]]:
    if name is None:
        return CATALOG
    try:
        products: list[dict[str, Any]] = tomllib.loads(Path(name).read_text("utf-8"))["products"]
    except (ValueError, KeyError):
        raise Wrong(f"{name} is no catalog") from None
    return products


def key_lines(key: str) -> list[str]:
    """Answer a key, or those in a file, one a line."""
    if not Path(key).is_file():
        return [key]
    return [line for line in Path(key).read_text("utf-8").splitlines() if line.strip()]


def is_receipt(name: str) -> bool:
    with Path(name).open("rb") as file:
        return file.read(len(RECEIPT)) == RECEIPT


def tell(line: str) -> None:
    """Say something to the person; standard output is kept for the view."""
    sys.stderr.write(line + "\n")


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="keyfold_verify.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = found.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="exports (plain or .gz), those of one ledger in order; or receipts",
    )
    add("--checkpoint", action="append", default=[], metavar="FILE", help="may be repeated")
    add("--key", action="append", default=[], metavar="VKEY", help="name+id+key, or a file of them")
    add("--old", action="append", default=[], metavar="EXPORT", help="an older export")
    add("--account", help="show this account's subscriptions")
    add("--as-of", metavar="TIME", help="what was true then; now if left out")
    add("--known-at", metavar="TIME", help="with what was recorded by then; all if left out")
    add("--all", action="store_true", help="also rows that have ended")
    add("--catalog", metavar="FILE", help="a catalog.toml, if the ledger has its own")
    add("--answer", metavar="FILE", help="a saved answer to hold against what is derived")
    return found


if __name__ == "__main__":
    sys.exit(main())
