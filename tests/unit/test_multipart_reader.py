"""Reading multipart/related as it arrives: the same parts however it is cut, little held back."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farsight.errors import BadRequest, FarsightError, PayloadTooLarge
from farsight.ps318.multipart_reader import (
    MultipartReader,
    PartBegins,
    PartData,
    PartEnds,
    ReaderLimits,
)
from farsight.ps318.multipart_related import Part, encode_related
from naive_related import NotMultipart, Parts, naive_parts

BCHARS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? "
WIDE = ReaderLimits(max_parts=1000, max_part_bytes=1 << 20, max_header_bytes=4096)
DICOM = (("Content-Type", "application/dicom"),)
boundaries = st.text(BCHARS, min_size=1, max_size=70).filter(lambda text: not text.endswith(" "))
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def cut(body: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    """The body in pieces of these lengths, over and over."""
    at = number = 0
    while at < len(body):
        length = lengths[number % len(lengths)]
        yield body[at : at + length]
        at, number = at + length, number + 1


def read(chunks: Iterable[bytes | memoryview], boundary: str, limits: ReaderLimits = WIDE) -> Parts:
    reader = MultipartReader(boundary, limits)
    parts: list[tuple[dict[str, str], bytearray]] = []
    inside = False
    most_held = max(limits.max_header_bytes, 1024) + len(boundary) + 8
    for chunk in chunks:
        for event in reader.feed(chunk):
            assert isinstance(event, PartBegins) is not inside
            if isinstance(event, PartBegins):
                parts.append((dict(event.headers), bytearray()))
                inside = True
            elif isinstance(event, PartData):
                assert len(event.data) > 0
                parts[-1][1].extend(event.data)
            else:
                assert isinstance(event, PartEnds)
                inside = False
        assert len(reader._data) <= most_held
    reader.close()
    assert not inside
    return [(headers, bytes(body)) for headers, body in parts]


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, Parts]:
    """A boundary, and parts whose bodies look like it wherever they may."""
    boundary = draw(boundaries)
    text = boundary.encode()
    pieces = st.sampled_from(
        [b"\r\n--" + text + b"x", b"--" + text + b"\r\n", b"\n--" + text + b"\r\n", b"\r\n--",
         b"\r\n--" + text[:-1], b"\r\n--" + text + b"-", b"\r\n--" + text + b" x", b"\r", b"\n",
         b"\r\n", b"\r\n\r\n", text, b"--", b"\0"]
    ) | st.binary(max_size=30)  # fmt: skip
    body = st.lists(pieces, max_size=8).map(b"".join)
    delimiter = re.compile(rb"\r\n--" + re.escape(text) + rb"(--|[ \t]*\r?\n)")
    body = body.filter(lambda data: not delimiter.search(b"\r\n" + data + b"\r\n"))
    headers = st.sampled_from([{}, {"content-type": "application/dicom"}, {"a": "", "b": "c: d"}])
    return boundary, draw(st.lists(st.tuples(headers, body), max_size=4))


@given(messages(), sizes, st.sampled_from([b"", b"\r\n", b"\n", b"preamble\r\n", b"--\r\n\r\n"]),
       st.sampled_from([b"", b" \t", b"\r\n", b"\r\nepilogue \r\n--"]))  # fmt: skip
def test_any_parts_cut_anywhere(
    message: tuple[str, Parts], lengths: list[int], before: bytes, after: bytes
) -> None:
    boundary, parts = message
    written = [Part(tuple(headers.items()), body) for headers, body in parts]
    body = before + b"".join(encode_related(written, boundary)).removesuffix(b"\r\n") + after
    assert read(cut(body, lengths), boundary) == parts
    assert read([body], boundary) == parts
    assert read([memoryview(body)], boundary) == parts


@given(st.lists(st.sampled_from(
    [b"--b", b"\r\n--b", b"\r\n--b\r\n", b"\r\n--b--", b"\n--b\n", b"\r\n", b"\r\n\r\n", b"\n",
     b"\r", b"--", b"-", b" ", b"\t", b"x", b"A: y", b"B : z", b"\r\n--bb\r\n"]), max_size=14),
    sizes)  # fmt: skip
@example([b"--b", b"\r\n", b"\r\n--b--"], [1])
@example([b"--b", b"\r\n", b"A: y", b"\r\n", b"\r\n--b--"], [1])
def test_it_agrees_with_the_definition(tokens: list[bytes], lengths: list[int]) -> None:
    body = b"".join(tokens)
    try:
        expected: Parts | None = naive_parts(body, "b")
    except NotMultipart:
        expected = None
    for chunks in (cut(body, lengths), [body]):
        try:
            assert read(chunks, "b") == expected
        except BadRequest:
            assert expected is None


@given(
    st.lists(st.binary(max_size=200) | st.sampled_from([b"\r\n--b\r\n", b"\r\n\r\n"])), boundaries
)
def test_garbage_is_refused_or_read(chunks: list[bytes], boundary: str) -> None:
    limits = ReaderLimits(max_parts=2, max_part_bytes=100, max_header_bytes=50)
    for which in (boundary, "b"):
        with contextlib.suppress(FarsightError):
            read(chunks, which, limits)


def test_as_clients_in_the_field_send_it() -> None:
    part = b"Content-Type: application/dicom\r\n\r\nDICM"
    parts: Parts = [({"content-type": "application/dicom"}, b"DICM")] * 2
    for body in (
        b"\r\n--b\r\n" + part + b"\r\n--b\r\n" + part + b"\r\n--b--",
        b"--b \t \r\n" + part + b"\r\n--b\r\n" + part + b"\r\n--b--\r\n",
        b"This is MIME.\r\n--b\r\n" + part + b"\r\n--b  \r\n" + part + b"\r\n--b--  \r\nthe end",
    ):
        assert read(cut(body, [1]), "b") == parts


def test_headers_are_read_leniently_and_without_doubt() -> None:
    body = b"--b\r\nX-Long:  one\r\n\ttwo\r\n three \r\nUPPER : \xc3\xa4\r\nL:\xe4\r\n\r\n\r\n--b--"
    assert read([body], "b") == [({"x-long": "one\ttwo three", "upper": "ä", "l": "ä"}, b"")]
    for wrong in (b"A: 1\r\na: 2", b" folded: 1", b"none", b": x", b"A B: x", b"A: \0",
                  b"A: 1\nB: 2", b"A: 1\rB: 2"):  # fmt: skip
        with pytest.raises(BadRequest):
            read([b"--b\r\n" + wrong + b"\r\n\r\n\r\n--b--"], "b")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\r\n", b"--b", b"--b\r\n", b"--b\r\n\r\n", b"--b\r\n\r\nx", b"--b\r\n\r\nx\r\n--b",
        b"--b\r\n\r\nx\r\n--b-", b"--b\r\n\r\nx\r\n--b\r\n", b"--b\r\n\r\nx\r\n--other--",
        b"--b\r\n\r\nx--b--", b"no multipart at all",
    ],
)  # fmt: skip
def test_what_is_cut_off_is_no_success(body: bytes) -> None:
    for chunks in (cut(body, [1]), [body]):
        with pytest.raises(BadRequest, match=r"cut off|has no line"):
            read(chunks, "b")


def test_no_parts_are_none() -> None:
    assert read([b"--b--"], "b") == []


@pytest.mark.parametrize(
    "body",
    [
        b"--b\n\nx\n--b--\n",
        b"--b\r\nA: x\r\n\r\nx\r\n--b \n\nx\r\n--b--",
        b"--b\r\nA: x\n\nx\r\n\r\n--b--",
    ],
)
def test_framing_in_line_feeds_is_refused_by_its_name(body: bytes) -> None:
    for chunks in (cut(body, [1]), [body]):
        with pytest.raises(BadRequest, match="LF alone"):
            read(chunks, "b")


def test_what_looks_like_the_end_and_goes_on_is_refused() -> None:
    for chunks in ([b"--b\r\n\r\nx\r\n--b--y\r\n--b--"], [b"--b\r\n\r\nx\r\n--b--", b" ", b"y"]):
        with pytest.raises(BadRequest, match="right behind"):
            read(chunks, "b")
    with pytest.raises(BadRequest, match="blanks"):
        read([b"--b" + b" " * 1025 + b"\r\n"], "b")


def test_nuls_behind_the_end_are_let_pass() -> None:
    """As npm's dicomweb-client sends them when it stores several instances at once."""
    body = b"--b\r\n\r\nx\r\n--b--"
    for filling in (b"\0", b"\0" * 80, b" \0\0\r\nepilogue"):
        for chunks in ([body + filling], [body, filling], cut(body + filling, [1])):
            assert read(chunks, "b") == [({}, b"x")]
    with pytest.raises(BadRequest, match="right behind"):
        read([body + b"\0x"], "b")


def test_limits_are_met_exactly_and_named() -> None:
    limits = ReaderLimits(max_parts=2, max_part_bytes=10, max_header_bytes=20)

    def body(parts: int, size: int, header: int) -> bytes:
        head = ((b"A".decode(), "x" * (header - 3)),)
        return b"".join(encode_related([Part(head, b"d" * size)] * parts, "b"))

    for lengths in ([1], [7], [10_000]):
        assert len(read(cut(body(2, 10, 20), lengths), "b", limits)) == 2
        for wrong, setting in (((3, 10, 20), "MaxParts"), ((1, 11, 20), "MaxPartMegabytes"),
                               ((1, 10, 21), "MaxPartHeaderBytes")):  # fmt: skip
            with pytest.raises(PayloadTooLarge, match=rf"Farsight\.Stow\.{setting}\)"):
                read(cut(body(*wrong), lengths), "b", limits)
    with pytest.raises(PayloadTooLarge, match="MaxPartHeaderBytes"):
        read([b"--b\r\n", *[b"A" * 8] * 10], "b", limits)


def test_chunks_of_bytes_are_not_copied() -> None:
    chunk = bytes(100_000)
    reader = MultipartReader("b", ReaderLimits(1, 1 << 20, 100))
    assert list(reader.feed(b"--b\r\n\r\n")) == [PartBegins({})]
    assert list(reader.feed(b"x")) == [PartData(memoryview(b"x"))]
    (event,) = reader.feed(chunk)
    assert isinstance(event, PartData)
    assert event.data.obj is chunk
    assert len(event.data) == len(chunk)


@pytest.mark.parametrize(
    ("begin", "more"),
    [(b"", b"preamble\n--"), (b"--b\r\n\r\n", b"data\r\n--"), (b"--b--\r\n", b"epilogue\r\n--b")],
)
def test_what_was_told_is_let_go(begin: bytes, more: bytes) -> None:
    reader = MultipartReader("b", ReaderLimits(1, 1 << 30, 100))
    for chunk in (begin, *[more * 1000] * 20):
        for _ in reader.feed(chunk):
            pass
        assert len(reader._data) <= len(b"\r\n--b-")


def test_events_nobody_took_are_not_lost() -> None:
    reader = MultipartReader("b", WIDE)
    reader.feed(b"--b\r\n\r\nx\r\n--b")
    with pytest.raises(BadRequest, match="no line"):
        reader.close()
    assert [type(event) for event in reader.feed(b"--")] == [PartBegins, PartData, PartEnds]
    reader.close()


@pytest.mark.parametrize("boundary", ["", " ", "a ", "a" * 71, "a\r\nb", "ä", "a\tb", "a\0"])
def test_what_is_no_boundary_is_refused(boundary: str) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        MultipartReader(boundary, WIDE)


def test_the_longest_boundary_of_every_character() -> None:
    for boundary in ((BCHARS * 2)[6:76], "a" * 70, "-", "--", "'()+_,-./:=? ?", " a"):
        body = b"".join(encode_related([Part(DICOM, b"x")], boundary))
        assert read(cut(body, [3]), boundary) == [({"content-type": "application/dicom"}, b"x")]
