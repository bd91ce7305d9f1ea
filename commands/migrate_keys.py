"""Take in the keys of another system, those that were redeemed there with what is left of them.

    code,product,tier,seats,months,reseller,redeem_by,account,redeemed_at,ends_at
    POS-2345-ABCD-WXYZ,cloud_pos,,5,12,Northwind,,acme,2026-01-15T09:00:00Z,2027-01-15
    POS-6789-EFGH-WXYZ,cloud_pos,,5,12,Northwind,2027-12-31,,,

A line without an account is a key that nobody has redeemed, as `import_keys` takes it in. One with
an account was redeemed there at `redeemed_at` (a day stands for its beginning), and ends at
`ends_at` (a day stands for its end), or its months after that if that is empty. It gives its seats
here from now on, and none before: what was true earlier was that system's to tell.

All of a file is taken in by one commit, or nothing is. What is in the ledger as the file has it is
passed over, so that the same file again changes nothing, and a later one brings what was redeemed
there since. Whatever became of a key here since it was taken in stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from commands import validation
from commands.import_keys import KeyLine, RefusedLine, issued, read_lines, read_time, spellings
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import Fact, RequestContext
from ledger.limits import COUNT_MAX
from ledger.loaded import Loaded
from ledger.months import add_months
from ledger.refusals import FieldError, InvalidRequest, KeyNotAvailable
from ledger.reseller_names import folded
from ledger.streams import batch, key
from ledger.streams.account import subscriptions
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.account.subscriptions import LATEST_YEAR
from ledger.streams.batch import BATCH
from ledger.streams.key import KEY, Key

MORE_COLUMNS: Final = ("account", "redeemed_at", "ends_at")
_TERMS: Final = ("product", "tier", "seats", "months")


class MigratedKeys(NamedTuple):
    """What became of a file; with anything refused, nothing was recorded.

    Attributes:
        batch: that the new keys are of; None when there are none.
        unredeemed: how many new keys nobody has redeemed.
        redeemed: how many were redeemed elsewhere, which the ledger did not know.
        ended: how many of these give nothing any more.
        unchanged: how many the ledger has already.
        refused: in the order of the file.
        position: the ledger's, with all of this recorded.
    """

    batch: str | None
    unredeemed: int
    redeemed: int
    ended: int
    unchanged: int
    refused: list[RefusedLine]
    position: int


class _Redeemed(NamedTuple):
    """That a key was redeemed elsewhere."""

    account: str
    redeemed_at: datetime
    expires_at: datetime


class _Line(NamedTuple):
    key: KeyLine
    redeemed: _Redeemed | None

    @property
    def stream(self) -> str:
        """Return the id in the name of its key's stream."""
        return key.stream_id(self.key.key)


class _Sorted(NamedTuple):
    """What the lines of a file are to the ledger."""

    new: list[_Line]
    redeemed: list[_Line]
    unchanged: int
    refused: list[RefusedLine]


def migrate_keys(
    services: Services,
    context: RequestContext,
    lines: Iterable[str],
    *,
    dry_run: bool = False,
    on_line: Callable[[], object] = lambda: None,
) -> MigratedKeys:
    """Take in a CSV file of another system's keys whole, and return what became of it.

    Args:
        lines: of the file, as for `import_keys`, with the columns above.
        dry_run: only say what would become of it.
        on_line: called once for each line that was read, to show progress.

    Raises:
        InvalidRequest: the header is another, the file is not UTF-8, or it has too many keys.
        LedgerBusy: others changed these accounts all the time; nothing was recorded.
    """
    fitting: dict[str, _Line] = {}
    refused: list[RefusedLine] = []
    for line, fields in read_lines(services, lines, MORE_COLUMNS):
        read = _read(services, context.now, line, fields)
        if isinstance(read, RefusedLine):
            refused.append(read)
        elif read.key.key in fitting:
            first = fitting[read.key.key].key.number
            refused.append(read.key.refused("code", f"repeats line {first}"))
        else:
            fitting[read.key.key] = read
        on_line()
    if len(fitting) > COUNT_MAX:
        raise InvalidRequest(FieldError("/file", f"has more than {COUNT_MAX:,} keys: split it"))
    found = list(fitting.values())
    return retry_on_conflict(partial(_take_in, services, context, found, refused, dry_run=dry_run))


def _take_in(
    services: Services,
    context: RequestContext,
    lines: list[_Line],
    refused: list[RefusedLine],
    *,
    dry_run: bool,
) -> MigratedKeys:
    known = services.book.load_many(KEY, [line.stream for line in lines])
    found = _sorted(known, lines, context.now)
    refused = sorted([*refused, *found.refused])
    batch_id = _batch_id(services, found.new)
    ended = sum(one.redeemed.expires_at <= context.now for one in found.redeemed if one.redeemed)
    done = MigratedKeys(
        batch_id if found.new else None,
        sum(one.redeemed is None for one in found.new),
        len(found.redeemed),
        ended,
        found.unchanged,
        refused,
        services.book.head(),
    )
    if refused or dry_run or not (found.new or found.redeemed):
        return done
    loaded = services.book.load(BATCH, batch.stream_id(batch_id))
    appended = services.book.append(context, *_changes(services, batch_id, loaded, known, found))
    return done._replace(position=appended.position)


def _sorted(
    known: Mapping[str, Loaded[Key | None]], lines: Iterable[_Line], now: datetime
) -> _Sorted:
    """Return what is new, what was redeemed elsewhere since, and what does not fit the ledger."""
    found = _Sorted([], [], 0, [])
    unchanged = 0
    for line in lines:
        there = known[line.stream].state
        wrong = _differing(there, line) if line.redeemed else None
        if wrong is not None:
            found.refused.append(wrong)
        elif there is None and line.redeemed is None and _has_lapsed(line.key, now):
            found.refused.append(line.key.refused("redeem_by", "must be in the future"))
        else:
            redeems = line.redeemed and _key_facts(there, line)
            if there is None:
                found.new.append(line)
            if redeems:
                found.redeemed.append(line)
            unchanged += there is not None and not redeems
    return found._replace(unchanged=unchanged)


def _has_lapsed(line: KeyLine, now: datetime) -> bool:
    return line.redeem_by is not None and line.redeem_by <= now


def _differing(there: Key | None, line: _Line) -> RefusedLine | None:
    """Return why a line cannot be true beside what the ledger has of its key; None if it can."""
    if there is None:
        return None
    try:
        _key_facts(there, line)
    except KeyNotAvailable:
        if there.redeemed_at is not None:
            return line.key.refused("redeemed_at", "was redeemed here, at another time")
        why = "is revoked here" if there.revoked_at is not None else "is a key of our own"
        return line.key.refused("code", why)
    for name in _TERMS:
        if getattr(there.issued, name) != getattr(line.key, name):
            return line.key.refused(name, f"is {getattr(there.issued, name) or 'none'} here")
    return None


def _key_facts(there: Key | None, line: _Line) -> list[Fact]:
    assert line.redeemed is not None
    subscription = f"kfsub_{line.stream}"
    account, redeemed_at, _ = line.redeemed
    return key.redeemed_elsewhere(there, account, subscription, redeemed_at)


def _changes(
    services: Services,
    batch_id: str,
    loaded: Loaded[batch.Batch | None],
    known: Mapping[str, Loaded[Key | None]],
    found: _Sorted,
) -> list[Change]:
    """Return all that a file changes: its batch, its keys, and the accounts that have them."""
    changes: list[Change] = []
    facts: defaultdict[str, list[Fact]] = defaultdict(list)
    given: dict[str, key.KeyIssued] = {}
    if found.new:
        imported = batch.take_in(loaded.state, batch_id, len(found.new))
        changes.append(Change(loaded, [imported]))
        kept = spellings(services, (one.key for one in found.new))
        for index, line in enumerate(found.new, start=imported.first_index):
            one = issued(line.key, batch_id, index, kept[folded(line.key.reseller)])
            facts[line.stream].append(one)
            given[line.stream] = one
    of_accounts: defaultdict[str, list[Fact]] = defaultdict(list)
    for line in found.redeemed:
        assert line.redeemed is not None
        there = known[line.stream].state
        facts[line.stream] += _key_facts(there, line)
        account, redeemed_at, expires_at = line.redeemed
        its = there.issued if there else given[line.stream]
        of_accounts[account] += subscriptions.take_in(
            its, f"kfsub_{line.stream}", redeemed_at, expires_at
        )
    cause = loaded.next_event if found.new else None
    changes += [Change(known[stream], its, causation=cause) for stream, its in facts.items()]
    accounts: Mapping[str, Loaded[Any]] = services.book.load_many(ACCOUNT, sorted(of_accounts))
    changes += [Change(accounts[id], its, causation=cause) for id, its in of_accounts.items()]
    return changes


def _batch_id(services: Services, lines: Iterable[_Line]) -> str:
    content = (msgspec.json.encode(one.key._replace(number=0)).decode() for one in lines)
    return "bat_" + codes.digest(services.request_key, "migration", *content)


def _read(
    services: Services, now: datetime, line: KeyLine | RefusedLine, fields: dict[str, str]
) -> _Line | RefusedLine:
    if isinstance(line, RefusedLine):
        return line
    try:
        return _Line(line, _redeemed(services, now, line, fields))
    except InvalidRequest as refusal:
        error = refusal.errors[0]
        return line.refused(error.pointer.removeprefix("/"), error.detail)


def _redeemed(
    services: Services, now: datetime, line: KeyLine, fields: dict[str, str]
) -> _Redeemed | None:
    """Return who redeemed a line's key, and when; None if nobody has.

    Raises:
        InvalidRequest: fields that do not fit.
    """
    account = fields["account"]
    if not account:
        validation.refuse_if(
            FieldError(f"/{name}", "needs an account, too") for name in MORE_COLUMNS if fields[name]
        )
        return None
    validation.refuse_if(
        [*validation.account(account), *validation.no_code(services, "/account", account)]
    )
    redeemed_at = read_time("/redeemed_at", fields["redeemed_at"], starts=True)
    if redeemed_at is None:
        raise InvalidRequest(FieldError("/redeemed_at", "is needed where there is an account"))
    if redeemed_at > now:
        raise InvalidRequest(FieldError("/redeemed_at", "must not be in the future"))
    try:
        ends_at = read_time("/ends_at", fields["ends_at"]) or add_months(redeemed_at, line.months)
    except (OverflowError, ValueError):
        raise InvalidRequest(FieldError("/months", "ends after all time")) from None
    if ends_at.year > LATEST_YEAR:
        raise InvalidRequest(FieldError("/ends_at", f"must not be after the year {LATEST_YEAR}"))
    if ends_at <= redeemed_at:
        raise InvalidRequest(FieldError("/ends_at", "must be after redeemed_at"))
    return _Redeemed(account, redeemed_at, ends_at)
