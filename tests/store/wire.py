"""The network between the program and PostgreSQL, which can break at any step of a statement.

lost           the statement never arrives                   it failed
halved         half of the statement arrives                 it failed
unanswered     it is committed, and the answer is lost       it failed, but persisted
half answered  it is committed, and half the answer arrives  it failed, but persisted
"""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import Literal, get_args
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

Break = Literal["lost", "halved", "unanswered", "half answered"]
BREAKS: tuple[Break, ...] = get_args(Break)
PERSISTED: set[Break] = {"unanswered", "half answered"}

_COMMITTED = b"Z\0\0\0\x05I"  # the server's last word on a statement, after its commit


class Wire:
    """Listens on a port of its own, forwards to the server, and breaks when told to."""

    def __init__(self, server_url: str) -> None:
        self._given = {name: str(value) for name, value in conninfo_to_dict(server_url).items()}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lines: list[_Line] = []
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()
        self.next_break: Break | None = None
        self.is_down = False

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, *hosts: str) -> str:
        """Answer the server's address by way of this wire, after any other hosts."""
        given = [self._given[key] for key in ("user", "password") if key in self._given]
        role = ":".join(quote(one, "") for one in given)
        every = ",".join([*hosts, f"127.0.0.1:{self.port}"])
        options = quote(self._given.get("options", ""), "")
        database = self._given["dbname"]
        return f"postgresql://{role}@{every}/{database}?sslmode=disable&options={options}"

    def _listen(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                if self.is_down:
                    client.close()
                    continue
                self._lines.append(_Line(self, client, self._connect()))

    def _connect(self) -> socket.socket:
        host, port = self._given["host"], int(self._given.get("port", "5432"))
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host, port))

    def take_break(self) -> Break | None:
        """Answer how to break now, once."""
        planned, self.next_break = self.next_break, None
        return planned

    def cut(self) -> None:
        """Cut every connection there is."""
        for line in self._lines:
            line.close()

    def close(self) -> None:
        """Cut everything, and end the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listening.join()
        for line in self._lines:
            line.close()
            line.carrying.join()


class _Line:
    """One connection over the wire."""

    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket) -> None:
        self._wire = wire
        self._client = client
        self._server = server
        self.carrying = threading.Thread(target=self._carry)
        self.carrying.start()

    def close(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _carry(self) -> None:
        with self._client, self._server, suppress(OSError):
            self._carry_until_broken()
            self.close()

    def _carry_until_broken(self) -> None:
        breaking: Break | None = None
        answer = b""
        while True:
            for end in select.select([self._client, self._server], [], [])[0]:
                data = end.recv(65536)
                if not data:
                    return
                if end is self._client:
                    breaking = breaking or self._wire.take_break()
                    if breaking == "lost":
                        return
                    if breaking == "halved":
                        self._server.sendall(data[: len(data) // 2])
                        return
                    self._server.sendall(data)
                elif breaking is None:
                    self._client.sendall(data)
                else:
                    answer += data
                    if _COMMITTED in answer:
                        if breaking == "half answered":
                            self._client.sendall(answer[: len(answer) // 2])
                        return
