"""Commands whose help ends with examples, which stand as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


class Exampled(click.Command):
    """A command with a section of examples; lines are never wrapped, so that they can be pasted."""

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), heading: str = "Examples", **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._examples = examples
        self._heading = heading

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self._examples:
            with formatter.section(self._heading):
                for line in self._examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)


class ExampledGroup(Exampled, click.Group):
    """A group, likewise; its commands are listed in the order in which they were added."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the commands' names in the order in which they were added."""
        return list(self.commands)
