"""Try a code: validate it, or redeem it on an account.

Both look at the same things in the same order, and both count a failed try: whether the account or
the session is blocked, whether the text is a code at all, whether it is one of the product asked
for, whether the key can be redeemed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from commands import checks
from commands.deciding import deciding
from commands.ports import Ports
from ledger import codes
from ledger.book import Change, Loaded, moment, unwritten
from ledger.events import Stamp
from ledger.months import add_months
from ledger.refusals import (
    FieldError,
    InvalidKeyFormat,
    KeyNotAvailable,
    Refusal,
    WrongProduct,
    refusals,
)
from ledger.streams import account as account_stream
from ledger.streams import attempts, key, request
from ledger.streams.account import ACCOUNT, Account
from ledger.streams.attempts import ATTEMPTS, Attempts, RedemptionRefused
from ledger.streams.key import KEY, Key, KeyIssued
from ledger.streams.request import REQUEST, RedemptionAnswered


class Try(NamedTuple):
    """A code that somebody typed for an account.

    Attributes:
        session: the portal's own id of the sitting; failed tries are counted by it.
        product: the product that the code is wanted for; None for whichever it is of.
    """

    account: str
    session: str
    code: str
    product: str | None = None


class Validated(NamedTuple):
    """What redeeming the key would give; nothing was consumed."""

    issued: KeyIssued
    expires_if_activated_now: datetime
    position: int


class Redeemed(NamedTuple):
    """The subscription that a key gave.

    Attributes:
        account: the account just after, and `at` the moment of the redemption.
        replayed: it had been redeemed by the same request before.
    """

    account: Loaded[Account]
    subscription: str
    at: datetime
    position: int
    replayed: bool


class _Examined(NamedTuple):
    """A try that passed, with the streams it was decided on."""

    key: Loaded[Key | None]
    issued: KeyIssued
    now: datetime


class _Failed(NamedTuple):
    """A try that failed, with what is to be remembered of it."""

    refusal: Refusal
    fact: RedemptionRefused


def validate_key(ports: Ports, stamp: Stamp, wanted: Try) -> Validated:
    """Tell what a code would give, and consume nothing.

    Raises:
        InvalidRequest: fields that do not fit.
        TooManyAttempts, InvalidKeyFormat, WrongProduct, KeyNotAvailable: in this order.
    """
    checks.refuse_if(_errors(ports, wanted))

    def attempt() -> Validated:
        tried = ports.book.load(ATTEMPTS, wanted.account)
        examined = _examine(ports, tried, wanted, stamp.now, consuming=False)
        if isinstance(examined, _Failed):
            ports.book.append(stamp, Change(tried, [examined.fact]))
            raise examined.refusal
        expires_at = add_months(examined.now, examined.issued.months)
        return Validated(examined.issued, expires_at, examined.key.head)

    return deciding(attempt)


def redeem_key(
    ports: Ports,
    stamp: Stamp,
    wanted: Try,
    *,
    idempotency_key: str | None = None,
    expected_version: int | None = None,
) -> Redeemed:
    """Redeem a code: the key and the account change in one commit.

    Args:
        idempotency_key: a request that is repeated with it is answered as before; a refusal, too,
            and it counts as one failed try.
        expected_version: of the account, if the caller has seen one; a mismatch is no try.

    Raises:
        InvalidRequest: fields that do not fit.
        IdempotencyKeyReused: another redemption was asked for with it.
        VersionMismatch: something was recorded since.
        TooManyAttempts, InvalidKeyFormat, WrongProduct, KeyNotAvailable: in this order.
    """
    checks.refuse_if(_errors(ports, wanted))
    fingerprint = codes.digest(ports.request_key, msgspec.json.encode(wanted).decode())
    request_id = (
        codes.digest(ports.request_key, "redemption", idempotency_key) if idempotency_key else None
    )

    def attempt() -> Redeemed:
        asked = ports.book.load(REQUEST, request_id) if request_id else None
        answered = request.repeated(asked.state, fingerprint) if asked else None
        if answered:
            return _replay(ports, answered)
        tried = ports.book.load(ATTEMPTS, wanted.account)
        account = ports.book.load(ACCOUNT, wanted.account)
        account_stream.expect_version(account.version, expected_version)
        now = moment(stamp.now, account)
        examined = _examine(ports, tried, wanted, now, consuming=True)
        if isinstance(examined, _Failed):
            answer = _answered(
                asked,
                fingerprint,
                wanted.account,
                causation=tried.next_event,
                refusal=examined.refusal.code,
            )
            ports.book.append(stamp, Change(tried, [examined.fact]), *answer)
            raise examined.refusal
        return _redeem(ports, stamp, account, examined, asked, fingerprint)

    return deciding(attempt)


def _redeem(
    ports: Ports,
    stamp: Stamp,
    account: Loaded[Account],
    examined: _Examined,
    asked: Loaded[RedemptionAnswered | None] | None,
    fingerprint: str,
) -> Redeemed:
    now = examined.now
    subscription = "kfsub_" + key.stream_id(examined.issued.key)
    redeemed = key.redeem(examined.key.state, account.id, subscription, now)
    activated = account_stream.activate(examined.issued, subscription, now)
    appended = ports.book.append(
        stamp._replace(now=now),
        Change(examined.key, redeemed),
        Change(account, activated, causation=examined.key.next_event),
        *_answered(
            asked,
            fingerprint,
            account.id,
            causation=examined.key.next_event,
            subscription=subscription,
            account_version=account.version + len(activated),
        ),
    )
    after: Loaded[Account] = appended.loaded[1]
    return Redeemed(after, subscription, now, appended.position, replayed=False)


def _examine(
    ports: Ports, tried: Loaded[Attempts], wanted: Try, now: datetime, *, consuming: bool
) -> _Examined | _Failed:
    now = moment(now, tried)
    attempts.admit(tried.state, wanted.session, now)

    def failed(
        refusal: Refusal,
        code: str | None = None,
        found: str | None = None,
        version: int | None = None,
    ) -> _Failed:
        fact = RedemptionRefused(
            session=wanted.session,
            refusal=refusal.code,
            key=ports.codes.key_id(code) if code else None,
            masked=codes.mask(code) if code else None,
            product=wanted.product,
            found=found,
            key_version=version,
            consuming=consuming,
        )
        return _Failed(refusal, fact)

    code = codes.parse(wanted.code, ports.catalog.prefixes)
    if code is None:
        return failed(InvalidKeyFormat())
    of_product = ports.catalog.by_prefix(codes.prefix_of(code))
    if wanted.product is not None and (of_product is None or of_product.id != wanted.product):
        return failed(WrongProduct(), code)
    loaded = ports.book.load(KEY, key.stream_id(ports.codes.key_id(code)))
    now = moment(now, loaded)
    try:
        issued = key.available(loaded.state, now).issued
    except KeyNotAvailable as refusal:
        found = loaded.state.status(now) if loaded.state else "unknown"
        return failed(refusal, code, found, loaded.version)
    return _Examined(loaded, issued, now)


def _answered(
    asked: Loaded[RedemptionAnswered | None] | None,
    fingerprint: str,
    account: str,
    *,
    causation: str,
    subscription: str | None = None,
    account_version: int | None = None,
    refusal: str | None = None,
) -> Sequence[Change]:
    if asked is None:
        return ()
    fact = RedemptionAnswered(
        fingerprint=fingerprint,
        account=account,
        subscription=subscription,
        account_version=account_version,
        refusal=refusal,
    )
    return (Change(asked, [fact], causation=causation),)


def _replay(ports: Ports, answered: RedemptionAnswered) -> Redeemed:
    if answered.refusal is not None:
        refusal = refusals()[answered.refusal]()
        refusal.replayed = True
        raise refusal
    assert answered.subscription
    head, events = ports.book.history(ACCOUNT, answered.account)
    then = events[: answered.account_version]
    at = then[-1].occurred_at
    account = unwritten(ACCOUNT, answered.account, head).after(then)
    return Redeemed(account, answered.subscription, at, head, replayed=True)


def _errors(ports: Ports, wanted: Try) -> list[FieldError]:
    return [
        *checks.account(wanted.account),
        *checks.session(wanted.session),
        *(checks.product(ports.catalog, wanted.product) if wanted.product is not None else []),
    ]
