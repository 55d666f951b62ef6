"""What our URLs begin with, and that strangers can't poison it."""

from __future__ import annotations

import pytest

from farsight.web.base_url import BaseUrl

FALLBACK = "http://localhost:8042"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("pacs.example.org:8043", "http://pacs.example.org:8043"),
        ("127.0.0.1:8043", "http://127.0.0.1:8043"),
        ("[::1]:8043", "http://[::1]:8043"),
        ("", FALLBACK),
        ("evil.org/path", FALLBACK),
        ("a@evil.org", FALLBACK),
        ("evil.org\r\nX: y", FALLBACK),
        ("evil.org#", FALLBACK),
        ('evil.org"', FALLBACK),
        ("evil.org:80:80", FALLBACK),
        ("evil org", FALLBACK),
        ("evil.org\n", FALLBACK),
    ],
)
def test_host(host: str, expected: str) -> None:
    assert BaseUrl(FALLBACK).of({"host": host}, "10.0.0.9", 8043) == expected
    assert BaseUrl(FALLBACK).of({}, "10.0.0.9", 8043) == FALLBACK


@pytest.mark.parametrize(
    ("host", "own_port", "expected"),
    [
        ("pacs", 8043, "http://pacs:8043"),
        ("pacs", None, "http://pacs:8042"),
        ("[::1]", 8043, "http://[::1]:8043"),
        ("pacs", 80, "http://pacs"),
        ("pacs:9", 8043, "http://pacs:9"),
    ],
)
def test_a_port_left_out(host: str, own_port: int | None, expected: str) -> None:
    assert BaseUrl(FALLBACK).of({"host": host}, "", own_port) == expected


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-forwarded-proto", "forwarded", "via"])
def test_a_proxy_has_a_port_of_its_own(header: str) -> None:
    assert BaseUrl(FALLBACK).of({"host": "pacs", header: "x"}, "10.0.0.9", 8043) == "http://pacs"


FORWARDED = {
    "host": "inside:8043",
    "x-forwarded-proto": "https, http",
    "x-forwarded-host": "pacs.example.org, inside",
}


@pytest.mark.parametrize(
    ("proxies", "client", "expected"),
    [
        ((), "10.0.0.9", "http://inside:8043"),
        (("10.0.0.0/8",), "11.0.0.9", "http://inside:8043"),
        (("10.0.0.0/8",), "10.0.0.9", "https://pacs.example.org"),
        (("10.0.0.9",), "10.0.0.9", "https://pacs.example.org"),
        (("::1",), "::1", "https://pacs.example.org"),
        (("10.0.0.0/8",), "", "http://inside:8043"),
        (("10.0.0.0/8",), "unix:", "http://inside:8043"),
    ],
)
def test_forwarded_headers_count_from_trusted_proxies_only(
    proxies: tuple[str, ...], client: str, expected: str
) -> None:
    assert BaseUrl(FALLBACK, trusted_proxies=proxies).of(FORWARDED, client, 8043) == expected


@pytest.mark.parametrize("value", ["javascript", "ftp", "https://x", ""])
def test_schemes(value: str) -> None:
    headers = {"host": "pacs:1", "x-forwarded-proto": value}
    assert BaseUrl(FALLBACK, trusted_proxies=("10.0.0.9",)).of(headers, "10.0.0.9") == FALLBACK


def test_public_url_overrules() -> None:
    base = BaseUrl(FALLBACK, "https://pacs.example.org/x", ("10.0.0.9",))
    assert base.of(FORWARDED, "10.0.0.9", 8043) == "https://pacs.example.org/x"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("pacs", "https://pacs:8042"),
        ("pacs:443", "https://pacs:443"),
        ("", "https://localhost:8042"),
    ],
)
def test_a_door_that_speaks_https(host: str, expected: str) -> None:
    assert BaseUrl("https://localhost:8042").of({"host": host}, "") == expected
    assert BaseUrl("https://localhost:443").of({"host": "pacs"}, "") == "https://pacs"
