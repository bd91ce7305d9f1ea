"""What a person at a terminal sees."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess

from tests.cli.program import KEYFOLD, PATIENCE_S, Program

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m|\x1b\[[0-9;]*38;")


def at_terminal(keyfold: Program, *arguments: str, **settings: str) -> str:
    """Run a command whose standard output and error are a terminal, and answer what it showed."""
    above, below = pty.openpty()
    process = subprocess.Popen(
        [*KEYFOLD, *arguments],
        cwd=keyfold.folder,
        env=keyfold.environ(TERM="xterm-256color", COLUMNS="80", **settings),
        stdin=subprocess.DEVNULL,
        stdout=below,
        stderr=below,
    )
    os.close(below)
    shown = rest_of(above)
    assert process.wait(PATIENCE_S) == 0, shown
    return shown.decode()


def rest_of(terminal: int) -> bytes:
    """Return what a terminal shows until the last program has left it."""
    shown = b""
    try:
        while chunk := os.read(terminal, 65_536):
            shown += chunk
    except OSError:
        # So Linux says that nobody is left.
        pass
    finally:
        os.close(terminal)
    return shown


def test_a_table_has_lines_and_never_breaks_an_id(filled: Program) -> None:
    ids = [key["id"] for key in filled.json("keys", "list")["items"]]
    shown = at_terminal(filled, "keys", "list")
    assert "─" * 20 in shown
    assert [id for id in ids if id not in shown] == []


def test_without_colours_there_are_none(keyfold: Program) -> None:
    shown = at_terminal(keyfold, "tokens", "list", NO_COLOR="1")
    assert not COLOUR.search(shown)


def test_a_label_is_shown_as_it_is_and_never_as_markup(filled: Program) -> None:
    filled.done("seats", "occupy", "harbour-hotel", "cloud_pos", "till-7", "--label", "[red]x[/]")
    assert "[red]x[/]" in at_terminal(filled, "seats", "list", "harbour-hotel")


def test_json_on_a_terminal_has_a_line_for_each_field(keyfold: Program) -> None:
    assert '\r\n  "next": null\r\n' in at_terminal(keyfold, "keys", "list", "--json")


def test_long_work_shows_a_bar_and_takes_it_away(keyfold: Program) -> None:
    above, below = pty.openpty()
    process = subprocess.Popen(
        [*KEYFOLD, "keys", "import", "-"],
        cwd=keyfold.folder,
        env=keyfold.environ(TERM="xterm-256color", COLUMNS="80"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=below,
    )
    os.close(below)
    assert process.stdin
    # The sheet comes slowly: its end only once the bar has shown.
    process.stdin.write(b"code,product,tier,seats,months,reseller,redeem_by\nx,,,,,,\n")
    process.stdin.flush()
    shown = b""
    while b"Importing" not in shown:
        assert select.select([above], [], [], PATIENCE_S)[0], "no bar was shown"
        shown += os.read(above, 65_536)
    process.stdin.close()
    shown += rest_of(above)
    assert process.wait(PATIENCE_S) == 1
    assert shown.endswith(b"\x1b[2K")
