"""As much of curl as the README's lines use, for machines that have none or an old one."""

from __future__ import annotations

import argparse
import sys
import urllib.error
import urllib.request


def main() -> int:
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-s", action="store_true", help="say nothing of progress")
    parser.add_argument("-i", action="store_true", help="show the answer's headers, too")
    parser.add_argument("-X", dest="method", help="use this method")
    parser.add_argument("-H", dest="headers", action="append", default=[], help="send this header")
    parser.add_argument("--json", help="send this body as JSON")
    parser.add_argument("url")
    asked = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in asked.headers)
    body = None
    if asked.json is not None:
        body = asked.json.encode()
        headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(asked.url, body, headers, method=asked.method)  # noqa: S310
    try:
        answer = urllib.request.urlopen(request)  # noqa: S310
    except urllib.error.HTTPError as error:
        answer = error
    if asked.i:
        print(f"HTTP/1.1 {answer.status}", answer.headers, sep="\n")
    sys.stdout.write(answer.read().decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
