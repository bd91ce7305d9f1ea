"""Bad input by the million: each is read or refused, in a time that grows with its length only.

What is read is cut, doubled, repeated, mixed with others and with what parsers dislike. A reader
may refuse it in its own words; any other exception is a failure, and so is a time beyond the bound:
a pattern that takes the square of the length. Over HTTP nothing is answered with 5xx.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import resources
from random import Random
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from commands.import_ledger import BadExport, header_of, read_pages
from ledger import catalog, codes
from ledger.proof import notes
from ledger.proof.notes import NoteInvalid
from ledger.stripe.objects import NotAnEvent, read_event, read_report
from tests.drills.places import place
from tests.drills.report import Report
from tests.portal.certificates import certificate
from tests.stripe.payloads import WEBHOOK_SECRET, changed, invoice, subscription
from web.app.services import wire
from web.app.settings import read_settings
from web.create_app import create_app
from web.portal.certificates import NotUsable
from web.portal.certificates import read as read_certificate

EACH_QUICK, EACH = 400, 150_000
OVER_HTTP_QUICK, OVER_HTTP = 300, 40_000
# The processor's time that a reader may take: a little, and so much for each byte.
BOUND_S: Final = 0.1
BOUND_PER_BYTE_S: Final = 4e-6
PREFIXES: Final = frozenset({"POS", "INT"})

DISLIKED: Final = (
    *(b" ", b"\0", b"-", b"\n", b"\r\n", b"=", b"#", b"\\", b'"', b"'", b"[", b"{", b"]", b"}"),
    *(b"1e999", b"-9223372036854775809", b"NaN", b"null", b"true", b"0x", b"a", b"\xff\xfe"),
    *("•".encode(), "ﬀ".encode(), b"\xe2\x80\x8b", b"\x1b[31m", b"POS", b"AAAA"),
    *(b"POS-AAAA-BBBB-CCCC", b"-----BEGIN CERTIFICATE-----\n"),
)


class Reader(NamedTuple):
    """What is given bad input.

    Attributes:
        reads: raises what it refuses with, if it does.
        refuses: those exceptions.
        samples: good input.
        longest: how long an input may get: what the program takes at most.
    """

    reads: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    samples: tuple[bytes, ...]
    longest: int


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _event(data: bytes) -> object:
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError) as error:  # as the webhook has it, which is tried over HTTP
        raise NotAnEvent from error
    return read_report(read_event(payload), catalog.builtin())


def _export(data: bytes) -> object:
    first, *lines = data.split(b"\n")
    return list(read_pages(header_of(first), iter(lines)))


def _code(data: bytes) -> object:
    text = _text(data)
    found = codes.parse(text, PREFIXES), codes.holds_code(text, PREFIXES)
    return found, codes.mask_possible(text, PREFIXES, lambda several: several)


def _readers() -> dict[str, Reader]:
    events = tuple(
        json.dumps(changed(one)).encode() for one in (subscription(), invoice(subscription="sub_1"))
    )
    note = b"keyfold/7tq3bd5xw4a6bl7m\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    note += "— keyfold/7tq3bd5xw4a6bl7m ".encode() + b"az3gRQ0SAFAv\n"
    names = resources.files("ledger").joinpath("catalog.toml")
    header = b'{"type":"keyfold.export@1","origin":"keyfold/7tq3bd5xw4a6bl7m","size":2}\n{"id":"1"}'
    pem = certificate().public_bytes(Encoding.PEM)
    der = certificate().public_bytes(Encoding.DER)
    return {
        "typed codes": Reader(_code, (), (b"POS-7K2M-9QXA-BCDE", b"pos 7k2m9qxabcde"), 2_000),
        "events of Stripe's": Reader(_event, (NotAnEvent,), events, 65_536),
        "certificates": Reader(read_certificate, (NotUsable,), (pem, der), 65_536),
        "exports": Reader(_export, (BadExport,), (header,), 262_144),
        "catalogs": Reader(
            lambda data: catalog.parse(_text(data)),
            (catalog.CatalogError,),
            (names.read_bytes(),),
            65_536,
        ),
        "signed notes": Reader(notes.parse_checkpoint, (NoteInvalid,), (note,), 65_536),
    }


# What is planted: each must be found.
PLANTED: Final[Mapping[str, Reader]] = {
    "a pattern that takes the square of the length": Reader(
        lambda data: re.search(rb"\s+$", data), (), (b"a reason",), 20_480
    ),
    "a reader that chokes on one character": Reader(
        lambda data: b"\0" not in data or 1 // 0, (), (b"a reason",), 65_536
    ),
}


def inputs(samples: tuple[bytes, ...], longest: int, random: Random) -> Iterator[bytes]:
    """Yield bad input without end; what is disliked at length comes first."""
    for one in DISLIKED:
        yield (one * longest)[: longest // 2] + b"!"
        yield samples[0][: len(samples[0]) // 2] + (one * longest)[: longest // 2] + samples[0]
    while True:
        data = random.choice(samples)
        for _ in range(random.randint(1, 6)):
            data = _worse(data, samples, random)
        yield data[:longest]


def _worse(data: bytes, samples: tuple[bytes, ...], random: Random) -> bytes:
    at = random.randint(0, len(data))
    end = min(len(data), at + random.randint(0, 40))
    match random.randrange(7):
        case 0:
            return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:at] + data[at:end] * random.choice((2, 3, 50)) + data[end:]
        case 3:
            return data[:at] + random.choice(DISLIKED) * random.choice((1, 1, 2, 200)) + data[at:]
        case 4:
            other = random.choice(samples)
            return data[:at] + other[random.randint(0, len(other)) :]
        case 5:
            numbers = [(one.start(), one.end()) for one in re.finditer(rb"\d+", data)]
            if not numbers:
                return data
            start, stop = random.choice(numbers)
            return data[:start] + random.choice(DISLIKED) + data[stop:]
    return data[:at]


def _fed(reader: Reader, count: int, random: Random) -> tuple[list[str], float]:
    """Return what was wrong, and the longest time that an input took, as a part of its bound."""
    wrong: list[str] = []
    worst = 0.0
    for _, data in zip(range(count), inputs(reader.samples, reader.longest, random), strict=False):
        began = time.thread_time()
        try:
            reader.reads(data)
        except reader.refuses:
            pass
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error} for {data[:80]!r}")
        took = time.thread_time() - began
        worst = max(worst, took / (BOUND_S + BOUND_PER_BYTE_S * len(data)))
        if took > BOUND_S + BOUND_PER_BYTE_S * len(data):
            wrong.append(f"{took:.1f} s for {len(data)} bytes that begin with {data[:40]!r}")
        if len(wrong) > 10:
            break
    return wrong, worst


def _over_http(count: int, random: Random) -> list[str]:
    """Send bad bodies to the program itself; return what was answered with 5xx."""
    order = {"product": "cloud_pos", "seats": 3, "months": 12, "count": 1, "reseller": "Northwind"}
    code = {"account": "acme", "session": "s-1", "code": "POS-7K2M-9QXA-BCDE"}
    sent = {
        "/webhooks/stripe": json.dumps(changed(subscription())).encode(),
        "/v1/keys": json.dumps(order).encode(),
        "/v1/keys/redeem": json.dumps(code).encode(),
        "/v1/timeline/search": b'{"ref": "acme"}',
    }
    wrong: list[str] = []
    with place("SQLite", STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET) as at:
        token = at.program.json("tokens", "create", "--role", "admin")["token"]
        with closing(wire(read_settings(at.program.settings))) as wiring:
            client = create_app(wiring).test_client()
            for path, good in sent.items():
                bodies = inputs((good,), 65_536, random)
                for _, body in zip(range(count // len(sent)), bodies, strict=False):
                    headers: dict[str, Any] = {"Authorization": f"Bearer {token}"}
                    if path == "/webhooks/stripe":
                        headers = {"Stripe-Signature": _signed(body)}
                    response = client.post(
                        path, data=body, headers=headers, content_type="application/json"
                    )
                    if response.status_code >= 500:
                        wrong.append(f"{path}: {response.status_code} for {body[:80]!r}")
    return wrong


def _signed(body: bytes) -> str:
    """Return the signature of any bytes; Stripe's own library signs text."""
    at = int(time.time())
    signed = hmac.new(WEBHOOK_SECRET.encode(), b"%d." % at + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    figures: dict[str, str] = {}
    faults: list[str] = []
    count, over_http = (EACH_QUICK, OVER_HTTP_QUICK) if quick else (EACH, OVER_HTTP)
    for name, reader in _readers().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of serial numbers that no certificate should have
            wrong, worst = _fed(reader, count, Random(f"inputs-{seed}-{name}"))
        faults += [f"{name}: {one}" for one in wrong]
        figures[name] = f"{count} inputs, at most {worst:.0%} of the time that one may take"
    faults += _over_http(over_http, Random(f"inputs-{seed}"))
    figures["over HTTP"] = f"{over_http} bodies, none answered with 5xx"
    found: dict[str, list[str]] = {}
    if planted:
        for name, reader in PLANTED.items():
            found[name], _ = _fed(reader, 100, Random(f"inputs-{seed}-{name}"))
    return Report(figures, faults, found)
