"""A process that sends messages to webhooks and does nothing else: to be killed at any moment.

`python -m tests.webhooks.sender`, with Keyfold's settings in the environment.
"""

from __future__ import annotations

import sys

from web.server import webhook_sender

if __name__ == "__main__":
    with webhook_sender.running():
        print("sending", flush=True)
        sys.stdin.read()
