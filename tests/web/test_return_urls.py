"""Where customers may be sent: listed origins, as browsers compare them, and nowhere else."""

from __future__ import annotations

import pytest

from ledger.catalog import builtin
from ledger.refusals import InvalidRequest
from tests.worlds import SECRET
from web.app import return_urls
from web.app.settings import SettingError, Settings, read_settings

SETTINGS = Settings(
    "memory:",
    SECRET,
    builtin(),
    "https://licences.example/under/a/path",
    None,
    100,
    return_origins=("https://portal.example", "http://127.0.0.1:9000", "https://[::1]:8443"),
)


@pytest.mark.parametrize(
    "url",
    [
        "https://portal.example",
        "https://portal.example/",
        "https://portal.example/a/b?c=d#e",
        "https://portal.example:443/done",
        "HTTPS://Portal.Example/done",
        "https://portal.example/done?session={CHECKOUT_SESSION_ID}",
        "http://127.0.0.1:9000/x",
        "https://[::1]:8443/x",
        "https://licences.example/anything",
    ],
)
def test_an_address_of_a_listed_origin_is_taken_as_it_is(url: str) -> None:
    assert return_urls.check(SETTINGS.allowed_origins, "/return_url", url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://portal.example.evil.example/",
        "https://evil.example/https://portal.example",
        "https://portal.example@evil.example/",
        "https://user@portal.example/",
        "https://portal.example:8443/",
        "http://portal.example/",
        "https://sub.portal.example/",
        "https://portal.example\\@evil.example/",
        "https:\\\\portal.example/",
        "https:/portal.example/",
        "https:portal.example/",
        "//portal.example/",
        "/portal/subscriptions",
        "portal.example",
        "javascript:alert(1)",
        "javascript://portal.example/%0aalert(1)",
        "data:text/html,hello",
        " https://portal.example/",
        "https://portal.example/\n",
        "https://portal.example/\tx",
        "https://p\u00f6rtal.example/",
        "https://portal.example:99999/",
        "https://[portal.example/",
        "https://",
        "",
        "https://portal.example/" + "a" * 2000,
    ],
)
def test_any_other_address_is_refused_with_its_place(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        return_urls.check(SETTINGS.allowed_origins, "/return_url", url)
    assert [error.pointer for error in caught.value.errors] == ["/return_url"]


def test_origins_are_read_from_the_settings() -> None:
    text = "https://portal.example, http://127.0.0.1:9000/,https://Shop.example:443"
    settings = read_settings({"KEYFOLD_RETURN_URLS": text})
    assert settings.return_origins == (
        "https://portal.example",
        "http://127.0.0.1:9000",
        "https://shop.example",
    )
    assert read_settings({}).return_origins == ()


@pytest.mark.parametrize("text", ["portal.example", "https://a.example/path", "*", "https://a b"])
def test_a_setting_that_is_no_list_of_origins_stops_the_start(text: str) -> None:
    with pytest.raises(SettingError, match="KEYFOLD_RETURN_URLS must hold addresses like"):
        read_settings({"KEYFOLD_RETURN_URLS": text})
