"""The Accept header and the `accept` query parameter (PS3.18 8.7.5, RFC 9110 12.5.1), and what
they share with Content-Type: the way a media type is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_MAX_RANGES: Final = 100
#: Clients send the same few headers again and again; longer ones are read anew.
_MOST_REMEMBERED_CHARS: Final = 1000
#: A quoted string, maybe without an end, or the separator.
_QUOTED_OR: Final = {
    separator: re.compile(rf'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|{separator}', re.DOTALL)
    for separator in ",;"
}
ANY: Final = "*/*"
MULTIPART: Final = "multipart/related"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One acceptable media type: `name` and parameter names in lower case, `quality` 0 to 1.

    Parameter values are as sent, without quotes.
    """

    name: str
    parameters: Mapping[str, str]
    quality: float = 1.0

    @property
    def part_type(self) -> str:
        """What a multipart's parts may be: its `type`, lower case; "*/*" where it has none."""
        return _wildcard(self.parameters.get("type", ANY).strip().lower())

    @property
    def transfer_syntax(self) -> str | None:
        """The transfer-syntax parameter: a UID, "*", or None if it isn't there."""
        return self.parameters.get("transfer-syntax")

    def for_parts(self) -> MediaRange:
        """The same wanted in parts of a multipart: clients who want many name the bare type."""
        if self.name in (ANY, MULTIPART, "multipart/*"):
            return self
        return MediaRange(MULTIPART, {**self.parameters, "type": self.name}, self.quality)


#: In the order of PS3.18 8.7.8.1: a later list counts only if nothing in the earlier ones can be
#: produced. Ranges of one list are as sent.
Accept = tuple[tuple[MediaRange, ...], ...]

EVERYTHING: Final = MediaRange(ANY, {})


def parse_accept(header: str | None, query_values: Sequence[str] = ()) -> Accept:
    """What a client accepts. `query_values`: the values of the `accept` parameter, decoded.

    Clients in the field send types with a slash unquoted, "*" for "*/*", and "+" that became a
    space on its way through a query; all are understood. What is no media range at all is passed
    over. Nothing sent, or an empty header, means everything.
    """
    length = len(header or "") + sum(map(len, query_values))
    read = _read_accept if length > _MOST_REMEMBERED_CHARS else _remembered_accept
    return read(header, tuple(query_values))


def _read_accept(header: str | None, query_values: tuple[str, ...]) -> Accept:
    from_query = tuple(media_range for text in query_values for media_range in _ranges(text))
    if header is None or not header.strip():
        return (from_query,) if from_query else ((EVERYTHING,),)
    from_header = tuple(_ranges(header))
    return (from_query, from_header) if from_query else (from_header,)


_remembered_accept = lru_cache(maxsize=256)(_read_accept)


def parse_content_type(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The one media type of a Content-Type, and its parameters in order, repeated ones too.

    Names in lower case, values without quotes; what is no parameter is passed over.
    """
    name, *pieces = _split(text, ";")
    return name.strip().lower(), tuple(_parameter(piece) for piece in pieces if "=" in piece)


def _ranges(text: str) -> Iterator[MediaRange]:
    for item in _split(text, ",")[:_MAX_RANGES]:
        name, *rest = (piece.strip() for piece in _split(item, ";"))
        name = "*/*" if name == "*" else _wildcard(name.lower().replace(" ", "+"))
        kind, slash, subtype = name.partition("/")
        if not slash or not kind or not subtype:
            continue
        parameters = dict(_parameter(piece) for piece in rest if "=" in piece)
        yield MediaRange(name, parameters, _quality(parameters.pop("q", "1")))


def _wildcard(name: str) -> str:
    """ "image/" as some clients send it, for "image/*"."""
    return name + "*" if name.endswith("/") else name


def _parameter(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return name.strip().lower(), value


def _quality(text: str) -> float:
    """0 to 1; what isn't a number counts as 1, as if it weren't there."""
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return min(max(value, 0.0), 1.0) if value == value else 1.0


def _split(text: str, separator: str) -> list[str]:
    """The pieces between separators outside quoted strings (RFC 9110 5.6.4)."""
    pieces: list[str] = []
    start = 0
    for found in _QUOTED_OR[separator].finditer(text):
        if found[0] == separator:
            pieces.append(text[start : found.start()])
            start = found.end()
    pieces.append(text[start:])
    return pieces
