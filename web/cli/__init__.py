"""The command line, `keyfold`.

Exit codes: 0 done; 1 refused, with the refusal's code and title on standard error; 2 usage, wrong
settings included; 130 interrupted. Nothing expected ever prints a traceback.

A command imports what it needs when it is called, and no sooner: HTTP, tables and progress bars
cost more than most commands do.
"""

from web.cli.main import main

__all__ = ["main"]
