"""ETag, If-None-Match, ranges of what has a tag, and gzip."""

from __future__ import annotations

import gzip

import pytest

from fakes.series_source import part10
from farsight.dicom.part10 import parse_object
from farsight.ps318.entity_tag import content_tag
from farsight.web.byte_range import Lazy, with_range
from farsight.web.conditional import CHANGING, conditional, instance_tag, matches
from farsight.web.content_coding import zipped
from farsight.web.messages import Request, Response
from sample_files import ct_slice

TAG = content_tag(b"something")
WHOLE = Response(200, (("Content-Type", "text/plain"), ("Vary", "Accept")), b"something")


def asked(**headers: str) -> Request:
    return Request("GET", "/", headers={name.replace("_", "-"): v for name, v in headers.items()})


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        (TAG, True),
        (f"W/{TAG}", True),
        (f'"other", {TAG}', True),
        ("*", True),
        ('"other"', False),
        (TAG.strip('"'), False),
        ("", False),
    ],
)
def test_if_none_match(header: str | None, known: bool) -> None:
    assert matches(header, TAG) is known


def test_commas_in_tags_are_part_of_them() -> None:
    tag = instance_tag(parse_object(part10(ct_slice(1))), "-f1,2,3")
    assert matches(f'"other", {tag}', tag)


def test_what_a_client_has_is_not_sent_again() -> None:
    response = conditional(asked(if_none_match=TAG), WHOLE, TAG, CHANGING)
    assert (response.status, response.body) == (304, b"")
    assert (response.header("ETag"), response.header("Cache-Control")) == (TAG, CHANGING)
    assert response.header("Vary") == "Accept"  # RFC 9110 15.4.5


def test_what_it_has_not_is_sent_with_its_tag() -> None:
    response = conditional(asked(if_none_match='"other"'), WHOLE, TAG, CHANGING)
    assert (response.status, response.body, response.header("ETag")) == (200, b"something", TAG)


def test_an_error_is_sent_whatever_a_client_has() -> None:
    gone = Response(404, (), b"gone")
    assert conditional(asked(if_none_match="*"), gone, TAG, CHANGING).status == 404


def test_the_tag_of_an_instance_stays_and_another_object_has_another() -> None:
    data = part10(ct_slice(1))
    first, again = parse_object(data), parse_object(data)
    assert instance_tag(first, "-f1") == instance_tag(first, "-f1")
    assert instance_tag(first, "-f1") != instance_tag(first, "-f2")
    assert instance_tag(first) != instance_tag(again)


def test_the_tag_of_content_is_of_the_content() -> None:
    assert content_tag(b"something") == content_tag(memoryview(b"something")) != content_tag(b"")


@pytest.mark.parametrize(
    ("if_range", "status"), [(TAG, 206), ('"other"', 200), ("Sat, 21 Nov 2026 00:00:00 GMT", 200)]
)
def test_a_range_of_what_the_client_has_the_rest_of(if_range: str, status: int) -> None:
    request = asked(range="bytes=1-3", if_range=if_range)
    response = with_range(request, (), b"something", TAG)
    assert response.status == status
    assert response.body == (b"ome" if status == 206 else b"something")


def test_gzip_where_it_is_taken_and_worth_it() -> None:
    long = Response(200, (("Content-Type", "text/plain"),), b"something" * 1000)
    response = zipped(asked(accept_encoding="br, gzip"), long)
    assert response.header("Content-Encoding") == "gzip"
    assert isinstance(response.body, bytes)
    assert gzip.decompress(response.body) == long.body
    assert zipped(asked(accept_encoding="gzip;q=0"), long) is long
    assert zipped(asked(), long) is long
    assert zipped(asked(accept_encoding="gzip"), WHOLE) is WHOLE


def test_a_warning_is_never_lost_in_a_304() -> None:
    short = Response(206, (("Warning", '299 x: "short"'), ("Vary", "Accept")), b"something")
    assert conditional(asked(if_none_match=TAG), short, TAG, CHANGING).status == 206


def test_a_304_says_where_it_is_from() -> None:
    there = WHOLE.with_headers(("Content-Location", "/there"))
    assert conditional(asked(if_none_match=TAG), there, TAG, CHANGING).header(
        "Content-Location"
    ) == "/there"  # fmt: skip


def test_parts_have_a_weak_tag_of_their_own() -> None:
    instance = parse_object(part10(ct_slice(1)))
    single, parts = instance_tag(instance, "-f1"), instance_tag(instance, "-f1", parts=True)
    assert parts.startswith('W/"')
    assert not matches(single, parts)
    assert matches(parts, parts)


def test_ranges_are_for_get_and_come_after_what_a_client_has() -> None:
    ranged = {"range": "bytes=1-3"}
    assert with_range(Request("HEAD", "/", headers=ranged), (), b"something", TAG).status == 200
    beyond = asked(range="bytes=99-", if_none_match=TAG)
    response = conditional(beyond, with_range(beyond, (), b"something", TAG), TAG, CHANGING)
    assert response.status == 304


def test_of_what_is_long_no_more_is_read_than_is_sent() -> None:
    read: list[tuple[int, int]] = []

    def some(start: int, length: int) -> bytes:
        read.append((start, length))
        return bytes(length)

    video = Lazy(1000, some, most_bytes=100)
    open_end = with_range(asked(range="bytes=700-"), (), video, TAG)
    assert (open_end.status, open_end.header("Content-Range")) == (206, "bytes 700-799/1000")
    assert with_range(asked(range="bytes=0-499"), (), video, TAG).body == bytes(500)
    assert read == [(700, 100), (0, 500)]
