"""Group commit: who commits with whom, and that nobody waits for ever, whatever breaks."""

from __future__ import annotations

import itertools
import linecache
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Self

import pytest

from ledger.store import OutcomeUnknown, group_commit
from ledger.store.group_commit import GroupCommit
from tests.store.log import in_threads

PATIENCE_S = 20


class Refused(Exception):
    """What an unlucky piece of work is told."""


class Bank:
    """A group commit whose commits are kept, and can be held up or broken, and threads to use it.

    Attributes:
        batches: the work of each commit, in the order in which they began.
        faults: what each commit raises in turn; None: nothing.
    """

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.group = GroupCommit[str, int](self._commit, len, 20)
        self.batches: list[list[str]] = []
        self.faults: list[BaseException | None] = []
        self.while_committing: Callable[[], object] = lambda: None
        self.while_committing_always: Callable[[], object] = lambda: None
        self.is_interrupted = False
        self._threads = threads
        self._is_held = False
        self._passes = threading.Semaphore(0)

    def _commit(self, works: Sequence[str]) -> list[int | Exception]:
        self.batches.append(list(works))
        going_on, self.while_committing = self.while_committing, lambda: None
        going_on()
        self.while_committing_always()
        if self._is_held:
            assert self._passes.acquire(timeout=PATIENCE_S)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        outcomes: list[int | Exception] = [
            Refused(work) if work.startswith("bad") else len(work) for work in works
        ]
        return outcomes[:1] if "too little" in works else outcomes

    def send(self, work: str) -> Future[int]:
        """Submit a piece of work from a thread of its own."""
        return self._threads.submit(self.group.submit, work)

    def send_and_queue(self, *works: str) -> list[Future[int]]:
        """Submit one piece of work after another while a commit is under way."""
        sent = []
        for n, work in enumerate(works, self.group.waiting + 1):
            sent.append(self.send(work))
            self.wait_until(lambda n=n: self.group.waiting == n)  # type: ignore[misc]
        return sent

    def let_one_pass(self) -> None:
        """Let the commit that is held up end, and hold up the next."""
        begun = len(self.batches)
        self._passes.release()
        self.wait_until(lambda: len(self.batches) > begun)

    @contextmanager
    def a_commit_under_way(self, first: str = "first") -> Iterator[Future[int]]:
        """Hold up the commit of `first`, and those after it, for the length of the block."""
        self._is_held = True
        leader = self.send(first)
        self.wait_until(lambda: len(self.batches) == 1)
        try:
            yield leader
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Hold up no commit any more."""
        self._is_held = False
        self._passes.release(100)

    def on_a_thread_of_its_own(self, work: Callable[[], object]) -> Future[object]:
        return self._threads.submit(work)

    def press_ctrl_c_when(self, condition: Callable[[], bool]) -> Future[None]:
        """Interrupt the main thread as soon as the condition holds."""

        def press() -> None:
            self.wait_until(condition)
            time.sleep(0.01)
            interrupt_main_thread()

        return self._threads.submit(press)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < patience
            time.sleep(0.0005)


def interrupt_main_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def bank() -> Iterator[Bank]:
    with ThreadPoolExecutor(16) as threads:
        bank = Bank(threads)
        yield bank
        assert bank.group.waiting == 0
        assert bank.group.submit("after") == 5, "the group is of no use any more"


# --- who commits with whom ------------------------------------------------------------------------


def test_a_single_caller_commits_at_once_and_alone(bank: Bank) -> None:
    assert bank.group.submit("one") == 3
    assert bank.group.submit("three") == 5

    assert bank.batches == [["one"], ["three"]]


def test_who_comes_while_one_commits_shares_the_next_commit(bank: Bank) -> None:
    with bank.a_commit_under_way() as leader:
        followers = bank.send_and_queue("a", "bb", "ccc")

    assert [leader.result(), *(follower.result() for follower in followers)] == [5, 1, 2, 3]
    assert bank.batches == [["first"], ["a", "bb", "ccc"]]


def test_each_keeps_its_own_outcome(bank: Bank) -> None:
    with bank.a_commit_under_way("bad leader") as leader:
        followers = bank.send_and_queue("a", "bad 1", "bb", "bad 2")

    assert [followers[0].result(), followers[2].result()] == [1, 2]
    for refused, work in ((leader, "bad leader"), (followers[1], "bad 1"), (followers[3], "bad 2")):
        with pytest.raises(Refused, match=work):
            refused.result()


def test_a_batch_is_bounded_and_a_heavy_piece_goes_alone(bank: Bank) -> None:
    with bank.a_commit_under_way():
        sent = bank.send_and_queue("x" * 12, "y" * 8, "z", "H" * 50, "w", "v")

    assert [each.result() for each in sent] == [12, 8, 1, 50, 1, 1]
    assert bank.batches[1:] == [["x" * 12, "y" * 8], ["z"], ["H" * 50], ["w", "v"]]


def test_a_leader_does_not_wait_for_those_who_come_after_it(bank: Bank) -> None:
    with bank.a_commit_under_way() as leader:
        (follower,) = bank.send_and_queue("next")
        bank.let_one_pass()

        assert leader.result(PATIENCE_S) == 5
        assert not follower.done()

    assert follower.result() == 4


def test_those_whom_a_commit_lets_go_share_the_next_one(bank: Bank) -> None:
    """Without that every second commit would be for one: 1, 6, 1, 6 …"""
    bank.while_committing_always = lambda: time.sleep(0.2)

    def submit_four_times(n: int) -> None:
        for _ in range(4):
            bank.group.submit(f"{n}")

    in_threads(6, submit_four_times)

    assert sum(len(batch) for batch in bank.batches) == 24
    assert sum(len(batch) == 1 for batch in bank.batches) <= 2
    bank.while_committing_always = lambda: None


# --- what breaks ----------------------------------------------------------------------------------


def test_a_commit_that_breaks_makes_its_own_batch_unknown_and_no_other(bank: Bank) -> None:
    broken = ValueError("a mistake")
    bank.faults = [None, broken]
    with bank.a_commit_under_way() as leader:
        sent = bank.send_and_queue("x" * 20, "a", "bb")

    assert leader.result() == 5
    with pytest.raises(OutcomeUnknown) as unknown:
        sent[0].result()
    assert unknown.value.__cause__ is broken
    assert [each.result() for each in sent[1:]] == [1, 2]


def test_all_of_a_broken_batch_are_told_each_with_an_error_of_its_own(bank: Bank) -> None:
    bank.faults = [None, ValueError("a mistake")]
    with bank.a_commit_under_way():
        followers = bank.send_and_queue("a", "bb", "ccc")

    errors = [follower.exception() for follower in followers]
    assert [type(error) for error in errors] == [OutcomeUnknown] * 3
    assert len({id(error) for error in errors}) == 3


def test_a_commit_that_answers_too_little_leaves_nobody_waiting(bank: Bank) -> None:
    with bank.a_commit_under_way():
        first, second = bank.send_and_queue("a", "too little")

    assert first.result() == 1
    assert isinstance(second.exception(), OutcomeUnknown)


def test_the_followers_of_a_leader_that_is_torn_away_are_told(bank: Bank) -> None:
    bank.faults = [None, KeyboardInterrupt()]
    with bank.a_commit_under_way():
        followers = bank.send_and_queue("a", "bb", "ccc")

    assert [type(follower.exception()) for follower in followers] == [
        KeyboardInterrupt,
        OutcomeUnknown,
        OutcomeUnknown,
    ]


def test_who_queues_behind_a_leader_that_is_torn_away_goes_on(bank: Bank) -> None:
    bank.faults = [KeyboardInterrupt()]
    with bank.a_commit_under_way() as leader:
        followers = bank.send_and_queue("a", "bb")

    assert isinstance(leader.exception(), KeyboardInterrupt)
    assert [follower.result() for follower in followers] == [1, 2]


def test_an_interrupted_caller_that_still_queues_is_withdrawn(bank: Bank) -> None:
    with bank.a_commit_under_way():
        pressed = bank.press_ctrl_c_when(lambda: bank.group.waiting == 1)
        with pytest.raises(KeyboardInterrupt):
            bank.group.submit("mine")
        pressed.result()
        (other,) = bank.send_and_queue("other")

    assert other.result() == 5
    assert bank.batches == [["first"], ["other"]]


def test_an_interrupted_caller_whose_work_is_under_way_troubles_nobody_else(bank: Bank) -> None:
    def ours_is_under_way() -> bool:
        bank.wait_until(lambda: bank.group.waiting == 2)
        bank.let_one_pass()
        return True

    with bank.a_commit_under_way():
        (other,) = bank.send_and_queue("other")
        pressed = bank.press_ctrl_c_when(ours_is_under_way)
        with pytest.raises(KeyboardInterrupt):
            bank.group.submit("mine")
        pressed.result()

    assert other.result() == 5
    assert bank.batches == [["first"], ["other", "mine"]]


def test_an_interrupted_leader_passes_the_lead_on(bank: Bank) -> None:
    bank.faults = [None, None]

    def ours_is_under_way() -> bool:
        bank.wait_until(lambda: bank.group.waiting == 1)
        bank.let_one_pass()
        bank.send_and_queue("other")
        return True

    with bank.a_commit_under_way():
        pressed = bank.press_ctrl_c_when(ours_is_under_way)
        with pytest.raises(KeyboardInterrupt):
            bank.group.submit("mine")
        pressed.result()

    bank.wait_until(lambda: len(bank.batches) == 3)
    assert bank.batches == [["first"], ["mine"], ["other"]]


class InterruptAtLine:
    """Interrupts this thread before the n-th line that it executes of `group_commit.py`.

    Lines at which Python looks at no signals are left out: those that only open a block.
    """

    def __init__(self, n: int) -> None:
        self._lines_left = n
        self.has_interrupted = False

    def __enter__(self) -> Self:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable | None:
        code = frame.f_code
        if code.co_filename != group_commit.__file__ or code.co_name == "waiting":
            return None
        if event == "line" and not self.has_interrupted:
            line = linecache.getline(group_commit.__file__, frame.f_lineno).strip()
            if not line.startswith(("with ", "try:", "finally:", "except ")):
                self._lines_left -= 1
                if self._lines_left == 0:
                    self.has_interrupted = True
                    raise KeyboardInterrupt
        return self._trace


@pytest.mark.parametrize("is_first", [True, False], ids=["leads alone", "leads two others"])
def test_a_leader_interrupted_at_any_line_leaves_nobody_waiting(is_first: bool) -> None:
    for line in itertools.count(1):
        with ThreadPoolExecutor(4) as threads:
            bank = Bank(threads)
            if not lead_while_two_others_come(bank, line, is_first=is_first):
                break
    assert line > 20, "hardly a line was tried"


def lead_while_two_others_come(bank: Bank, line: int, *, is_first: bool) -> bool:
    """Lead in this thread, interrupted at the line; answer whether there was such a line."""
    others: list[Future[int]] = []
    if is_first:
        bank.while_committing = lambda: others.extend(bank.send_and_queue("a", "bb"))
        interrupted = submit_interrupted(bank, line)
        if not others:  # it was interrupted before it committed
            bank.while_committing = lambda: None
            others += [bank.send("a"), bank.send("bb")]
    else:
        with bank.a_commit_under_way():
            coming = bank.on_a_thread_of_its_own(lambda: send_two_behind(bank, others))
            interrupted = submit_interrupted(bank, line)
            coming.result(PATIENCE_S)
    for other in others:
        error = other.exception(PATIENCE_S)
        assert error is None or isinstance(error, OutcomeUnknown)
    committed = [work for batch in bank.batches for work in batch]
    assert len(committed) == len(set(committed)), "something was committed twice"
    assert bank.group.submit("after") == 5
    return interrupted


def send_two_behind(bank: Bank, others: list[Future[int]]) -> None:
    """Queue two others behind the main thread, and let them all be committed."""
    bank.wait_until(lambda: bank.group.waiting == 1 or bank.is_interrupted)
    others += [bank.send("a"), bank.send("bb")]
    bank.wait_until(lambda: bank.group.waiting >= 2)
    bank.let_go()


def submit_interrupted(bank: Bank, line: int) -> bool:
    with InterruptAtLine(line) as interrupt, suppress(KeyboardInterrupt, OutcomeUnknown):
        bank.group.submit("mine")
    bank.is_interrupted = interrupt.has_interrupted
    return interrupt.has_interrupted


@dataclass
class Trigger:
    """Whether Ctrl-C interrupts the main thread now."""

    armed: bool = False


@contextmanager
def ctrl_c_once_armed() -> Iterator[Trigger]:
    """Let Ctrl-C interrupt the main thread only while the trigger is armed, and disarm it."""
    trigger = Trigger()

    def interrupt(*_: object) -> None:
        if trigger.armed:
            trigger.armed = False
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield trigger
    finally:
        signal.signal(signal.SIGINT, before)


# An interrupt may fall into a callback of the garbage collector, where Python drops it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_any_moment_leave_nobody_waiting_and_double_nothing(bank: Bank) -> None:
    """Three threads submit all the time while Ctrl-C is pressed wherever the main thread is."""
    finished = threading.Event()
    answered: list[str] = []
    interrupted = 0

    def submit_until_finished(name: str) -> None:
        for n in itertools.count():
            if finished.is_set():
                return
            with suppress(OutcomeUnknown):
                bank.group.submit(f"{name} {n}")

    def press_ctrl_c_often() -> None:
        enough, patience = time.monotonic() + 1, time.monotonic() + PATIENCE_S
        # On a busy machine there are few in a second.
        while (now := time.monotonic()) < enough or (interrupted <= 20 and now < patience):
            time.sleep(random.random() * 0.004)
            interrupt_main_thread()
        finished.set()

    with ThreadPoolExecutor(4) as threads, ctrl_c_once_armed() as trigger:
        others = [threads.submit(submit_until_finished, name) for name in "abc"]
        others.append(threads.submit(press_ctrl_c_often))
        while not finished.is_set():
            work = f"mine {len(answered)} {interrupted}"
            try:
                trigger.armed = True
                bank.group.submit(work)
                trigger.armed = False
                answered.append(work)
            except KeyboardInterrupt:
                interrupted += 1
            except OutcomeUnknown:
                trigger.armed = False
        for other in others:
            other.result(PATIENCE_S)

    committed = [work for batch in bank.batches for work in batch]
    assert len(committed) == len(set(committed)), "something was committed twice"
    assert set(answered) <= set(committed)
    assert interrupted > 20
