"""multipart/related as it arrives, piece by piece (RFC 2046 5.1, RFC 2387, PS3.18 8.6.1.2).

Laws:

- a delimiter is CRLF, two hyphens and the boundary, then either two hyphens (the last one) or
  blanks and CRLF; the first may begin the body, or a line of the preamble. All else is data, also
  the boundary with other text around it;
- the blank line that ends the headers may be the line before a delimiter: then there is no body;
- however the body is cut into chunks, the parts are the same, and so are the errors;
- line ends are CRLF. A delimiter or header that ends in a bare LF is refused: whether the CR before
  such a line belongs to the data can't be told, and one byte more or less is another object;
- nothing is lost silently: what ends without its last delimiter is refused by `close`, and so is
  text right behind that delimiter, which may be data that looks like it. NULs are let pass there:
  a client that counts its bytes wrongly fills up with them;
- not more is held back than a delimiter and one block of headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from farsight.errors import BadRequest, PayloadTooLarge

CRLF: Final = b"\r\n"
_LONGEST_BOUNDARY: Final = 70
#: Wider than RFC 2046 allows: what is no line end can't be misread.
_BOUNDARY: Final = re.compile(r"[ -~]{0,69}[!-~]")
_BLANKS: Final = re.compile(rb"[ \t]*")
_FILLING: Final = re.compile(rb"[ \t\0]*")
#: Blanks that a relay may have put behind a delimiter (RFC 2046 5.1.1, transport-padding).
_LONGEST_PADDING: Final = 1024
_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:(.*)", re.DOTALL)
_LF_REFUSED: Final = "lines of the multipart body end in LF alone; CRLF is needed (RFC 2046)"


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """Above them the body is refused. max_header_bytes: of one part's headers together."""

    max_parts: int
    max_part_bytes: int
    max_header_bytes: int


@dataclass(frozen=True, slots=True)
class PartBegins:
    """Names in lower case, values without blanks around them; each name once."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """More of the part's body, never empty. The view keeps the chunk it is from alive."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """All of the part's body has been told."""


Event = PartBegins | PartData | PartEnds


class _Behind(Enum):
    """What follows the text of a delimiter."""

    LINE_END = auto()  # a part
    CLOSING = auto()  # no more parts
    TEXT = auto()  # so it is no delimiter
    UNKNOWN = auto()  # more has to arrive first


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    BODY = auto()
    CLOSED = auto()  # on the line of the last delimiter
    EPILOGUE = auto()


def checked_boundary(boundary: str) -> str:
    """The boundary itself: 1 to 70 printable ASCII characters, no blank last (RFC 2046 5.1.1).

    Raises: BadRequest.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest(
            f"the multipart boundary {boundary[: _LONGEST_BOUNDARY + 10]!r} can't be used: "
            f"1 to {_LONGEST_BOUNDARY} printable ASCII characters are needed, the last no blank"
        )
    return boundary


class MultipartReader:
    """Chunks in, events out; no I/O.

    For every part PartBegins, any number of PartData, PartEnds. Chunks that are bytes are not
    copied, but where a delimiter may reach from one into the next; others are copied once.
    """

    def __init__(self, boundary: str, limits: ReaderLimits) -> None:
        """Raises: BadRequest for what can't be a boundary."""
        self._boundary = checked_boundary(boundary)
        self._limits = limits
        self._delimiter = CRLF + b"--" + boundary.encode("ascii")
        self._state = _State.PREAMBLE
        self._data = b""
        self._is_first = True  # nothing was looked at yet: here a delimiter needs no line before it
        self._at = 0  # of _data, from where on nothing was told yet
        self._before_body = 0  # bytes at _at that are not the part's, but may begin a delimiter
        self._parts = 0
        self._part_bytes = 0

    def feed(self, chunk: bytes | memoryview) -> Iterator[Event]:
        """What is in the body as far as this chunk; to be run through before the next one.

        Raises, in running through: BadRequest, PayloadTooLarge. After that there is no going on.
        """
        held = self._data[self._at :]
        self._data = held + chunk if held else bytes(chunk)
        self._at = 0
        return self._events()

    def close(self) -> None:
        """There is no more. Raises: BadRequest if the last delimiter wasn't among it."""
        if self._state in (_State.CLOSED, _State.EPILOGUE):
            return
        if self._state is _State.PREAMBLE:
            raise BadRequest(f"the multipart body has no line --{self._boundary}")
        raise BadRequest(
            f"the multipart body ends without --{self._boundary}--: it is cut off in part "
            f"{self._parts + (self._state is _State.HEADERS)}"
        )

    def _events(self) -> Iterator[Event]:
        while (event := self._next()) is not None:
            yield event
        self._data, self._at = self._data[self._at :], 0

    def _next(self) -> Event | None:
        """None: more has to arrive first."""
        if self._state is _State.PREAMBLE and (not self._is_first or self._begin()):
            start, behind, end = self._find(self._delimiter[1:])
            self._at = start
            self._leave(behind, end)
        if self._state is _State.HEADERS:
            return self._read_headers()
        if self._state is _State.BODY:
            return self._read_body()
        if self._state is _State.CLOSED:
            self._read_last_line()
        if self._state is _State.EPILOGUE:
            self._at = len(self._data)
        return None

    def _begin(self) -> bool:
        """Whether to look for the first delimiter further on; it may begin the body."""
        delimiter = self._delimiter[len(CRLF) :]
        if not self._data.startswith(delimiter):
            self._is_first = delimiter.startswith(self._data)  # more has to arrive
            return not self._is_first
        behind, end = self._look_behind(len(delimiter))
        self._is_first = behind is _Behind.UNKNOWN
        self._leave(behind, end)
        return behind is _Behind.TEXT

    def _leave(self, behind: _Behind, end: int) -> None:
        """Go past a delimiter, if it is one: to the CRLF that ends its line, or behind hyphens."""
        if behind in (_Behind.LINE_END, _Behind.CLOSING):
            self._at = end
            self._state = _State.HEADERS if behind is _Behind.LINE_END else _State.CLOSED

    def _read_headers(self) -> Event | None:
        data, start, most = self._data, self._at + len(CRLF), self._limits.max_header_bytes
        end = data.find(CRLF + CRLF, self._at, start + most + 2 * len(CRLF))
        if end < 0 and len(data) < start + most + 2 * len(CRLF):
            return None
        block = data[start : end if end >= 0 else start + most]
        if _BARE.search(block):
            raise BadRequest(_LF_REFUSED)
        if end < 0:
            raise PayloadTooLarge(
                f"the headers of part {self._parts + 1} are longer than {most} bytes "
                "(Farsight.Stow.MaxPartHeaderBytes)"
            )
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise PayloadTooLarge(
                f"there are more than {self._limits.max_parts} parts (Farsight.Stow.MaxParts)"
            )
        headers = _fields(block, self._parts)
        self._at, self._before_body = end + len(CRLF), len(CRLF)
        self._part_bytes = 0
        self._state = _State.BODY
        return PartBegins(headers)

    def _read_body(self) -> Event | None:
        stop, behind, end = self._find(self._delimiter)
        start = self._at + self._before_body
        if stop > start:
            self._at, self._before_body = stop, 0
            self._part_bytes += stop - start
            if self._part_bytes > self._limits.max_part_bytes:
                raise PayloadTooLarge(
                    f"part {self._parts} is larger than {self._limits.max_part_bytes} bytes "
                    "(Farsight.Stow.MaxPartMegabytes)"
                )
            return PartData(memoryview(self._data)[start:stop])
        self._leave(behind, end)
        return None if behind is _Behind.UNKNOWN else PartEnds()

    def _read_last_line(self) -> None:
        """Blanks may stand behind the last delimiter (transport-padding), then a new line."""
        filling = _FILLING.match(self._data, self._at)
        self._at = filling.end() if filling else self._at
        follows = self._data[self._at : self._at + 1]
        if follows in (b"\r", b"\n"):
            self._state = _State.EPILOGUE
        elif follows:
            raise BadRequest(f"there is text right behind --{self._boundary}--")

    def _find(self, delimiter: bytes) -> tuple[int, _Behind, int]:
        """Where a delimiter begins, what is behind it, and where that is.

        UNKNOWN: from there on it may be one; that may be the end of what is at hand.
        """
        data = self._data
        at = data.find(delimiter, self._at)
        while at >= 0:
            behind, end = self._look_behind(at + len(delimiter))
            if behind is not _Behind.TEXT:
                return at, behind, end
            at = data.find(delimiter, at + 1)
        # Its first byte occurs in it once, so that only the last one in sight can begin it.
        at = data.rfind(delimiter[:1], max(self._at, len(data) - len(delimiter) + 1))
        if at < 0 or not delimiter.startswith(data[at:]):
            at = len(data)
        return at, _Behind.UNKNOWN, at

    def _look_behind(self, at: int) -> tuple[_Behind, int]:
        data = self._data
        if data.startswith(b"--", at):
            return _Behind.CLOSING, at + 2
        blanks = _BLANKS.match(data, at, at + _LONGEST_PADDING + 1)
        end = blanks.end() if blanks else at
        if end - at > _LONGEST_PADDING:
            raise BadRequest(f"more than {_LONGEST_PADDING} blanks follow --{self._boundary}")
        follows = data[end : end + 2]
        if follows == CRLF:
            return _Behind.LINE_END, end
        if follows.startswith(b"\n"):
            raise BadRequest(_LF_REFUSED)
        if follows in (b"", b"\r", b"-"):
            return _Behind.UNKNOWN, end
        return _Behind.TEXT, end


def _fields(block: bytes, part: int) -> dict[str, str]:
    """The headers of a part; lines that begin with blanks go on with the one before (RFC 822)."""
    fields: dict[str, str] = {}
    for line in _FOLD.sub(b"", block).split(CRLF) if block else ():
        field = _FIELD.fullmatch(line)
        if field is None or b"\0" in line:
            raise BadRequest(f"part {part} has a line among its headers that is none")
        name = field[1].decode("ascii").lower()
        if name in fields:
            raise BadRequest(f"part {part} has the header {name[:80]} more than once")
        fields[name] = _text(field[2]).strip(" \t")
    return fields


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
