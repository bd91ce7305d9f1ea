"""Where webhooks may be sent: nowhere that only this machine can reach, however it is written."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from commands.gateways.webhook_addresses import (
    AddressRefused,
    AllowedHosts,
    Target,
    check_url,
    find_target,
)

NOBODY = AllowedHosts()
PUBLIC = "93.184.215.14"

INSIDE = [
    "127.0.0.1", "127.8.9.10", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "0.0.0.0", "198.18.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255",  # noqa: S104
    "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]",
    "[::ffff:127.0.0.1]", "[::ffff:93.184.215.14]", "[::7f00:1]", "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]",
]  # fmt: skip
ODD = [
    "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.0x1", "1.2.3.08",
    "93.184.215.014", "hooks.example.0x", "[fe80::1%25eth0]",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_that_is_not_of_the_internet_is_refused(host: str) -> None:
    for scheme in ("https", "http"):
        with pytest.raises(AddressRefused):
            check_url(f"{scheme}://{host}/hook", NOBODY)


@pytest.mark.parametrize("host", ODD)
def test_an_address_in_an_odd_form_is_refused_even_where_all_is_allowed(host: str) -> None:
    allowed = AllowedHosts.parse("0.0.0.0/0,::/0")
    with pytest.raises(AddressRefused):
        check_url(f"https://{host}/hook", allowed)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://93.184.215.14/",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "//93.184.215.14/",
        "hooks.example",
        "https://user:password@93.184.215.14/",
        "https://93.184.215.14@127.0.0.1/",
        "https://93.184.215.14\\@127.0.0.1/",
        "https://93.184.215.14/#fragment",
        "https://93.184.215.14/a b",
        "https://93.184.215.14/\r\nX: y",
        "https://93.184.215.14:0/",
        "https://93.184.215.14:99999/",
        "https://bücher.example/",
        "https://-.example/",
        "https://" + "a" * 2_001 + ".example/",
        "http://93.184.215.14/",
    ],
)
def test_what_is_no_https_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, NOBODY)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000/hook"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/hook"),
        ("10.0.0.0/8, ::1", "http://10.1.2.3/hook"),
        ("::1", "http://[::1]:9000/hook"),
        ("[::1]:9000", "http://[::1]:9000/hook"),
        ("localhost", "http://localhost:9000/hook"),
        ("LocalHost:9000", "http://LOCALHOST:9000/hook"),
    ],
)
def test_what_is_named_is_taken_without_https(allowed: str, url: str) -> None:
    assert find_target(url, AllowedHosts.parse(allowed)).addresses


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9001/hook"),
        ("10.0.0.1", "http://127.0.0.1/hook"),
        ("hooks.internal", "http://127.0.0.1/hook"),
    ],
)
def test_nothing_beside_what_is_named_is_taken(allowed: str, url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, AllowedHosts.parse(allowed))


def resolved(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have every name lead to these addresses."""

    def getaddrinfo(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_is_held_to_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, PUBLIC)
    url = "https://hooks.example:8443/a?b=c"
    target = find_target(url, NOBODY)
    assert target == Target("https", "hooks.example", 8443, "/a?b=c", (PUBLIC,))
    assert target.authority == "hooks.example:8443"
    resolved(monkeypatch, PUBLIC, "127.0.0.1")
    with pytest.raises(AddressRefused):
        find_target(url, NOBODY)
    assert find_target(url, AllowedHosts.parse("127.0.0.0/8")).addresses == (PUBLIC, "127.0.0.1")


def test_a_name_that_leads_nowhere_now_is_taken_and_held_when_it_is_sent_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(*_: Any, **__: Any) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    assert check_url("https://hooks.example/", NOBODY) == "hooks.example"
    with pytest.raises(AddressRefused):
        check_url("http://hooks.example/", AllowedHosts.parse("10.0.0.0/8"))


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "foo.localhost", "FOO.LOCALHOST.", "printer.local", "a.b.internal"),
        *("hooks", "router.home.arpa", "home.arpa", "crm.corp", "nas.lan"),
    ],
)
@pytest.mark.parametrize("found", [(), (PUBLIC,), ("10.1.2.3",)])
def test_a_name_of_this_machine_or_network_is_refused_wherever_it_leads(
    monkeypatch: pytest.MonkeyPatch, host: str, found: tuple[str, ...]
) -> None:
    resolved(monkeypatch, *found)
    url = f"https://{host}/hook"
    for look in (check_url, find_target):
        with pytest.raises(AddressRefused):
            look(url, NOBODY)
    named = AllowedHosts.parse(host.removesuffix("."))
    assert check_url(url, named) == host.lower().removesuffix(".")
    network = AllowedHosts.parse("10.0.0.0/8")
    if found == ("10.1.2.3",):
        assert find_target(url, network).addresses == found
    else:
        with pytest.raises(AddressRefused):
            check_url(url, network)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "a b", "http://hooks.internal", "hooks:port", "*"])
def test_a_setting_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        AllowedHosts.parse(text)
    assert str(caught.value) == text
