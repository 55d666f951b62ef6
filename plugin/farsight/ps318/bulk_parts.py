"""The parts of a message that hold what its metadata only refers to (PS3.18 8.6.1.2, 10.5.1.4).

A part is found by its Content-Location, as it was told; else normalised (RFC 3986 6.2.2); else,
where one of the two has no host, by path and query, if that leaves one host to choose from.
Nothing is ever fetched. Attributes and instances may share a part, but not so that much more comes
out of a message than was sent. Compressed multi-frame pixels are one part a frame (8.7.3.3.2): of
one Content-Location in their order, or with `/frames/<number>` behind it, as they are retrieved.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Final
from urllib.parse import urlsplit

from farsight.ps318.accept import parse_content_type
from farsight.ps318.frame_media_type import OCTET_STREAM
from farsight.ps318.refused import ValueUnfit
from farsight.ps318.store_reasons import FailureReason

_FRAME: Final = re.compile(r"(.+)/frames/([1-9][0-9]{0,6})\Z", re.DOTALL)
_PORTS: Final = {"http": ":80", "https": ":443"}
_ESCAPED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")
#: Of values that a message has by referring to its parts again: a colour profile that many share.
SHARED_BYTES: Final = 16 * 1024 * 1024
#: What a part that is referred to again counts more than its bytes: a header, and the work.
_AGAIN_BYTES: Final = 64
#: Scheme and host, "" for none; path and query.
_Location = tuple[str, str]


@dataclass(frozen=True, slots=True)
class BulkPart:
    """One part: its Content-Type and Content-Location as sent ("" for none), and its body."""

    content_type: str
    content_location: str
    data: bytes | memoryview
    #: In lower case; octets where nothing is told.
    media_type: str = field(init=False)
    #: The transfer-syntax parameter; "" where there is none, or it is "*".
    transfer_syntax: str = field(init=False)

    def __post_init__(self) -> None:
        name, parameters = parse_content_type(self.content_type)
        told = dict(parameters).get("transfer-syntax", "").strip()
        object.__setattr__(self, "media_type", name or OCTET_STREAM)
        object.__setattr__(self, "transfer_syntax", "" if told == "*" else told)


class _Places:
    """Numbers of parts by location, in the order of the parts."""

    def __init__(self) -> None:
        self._told: defaultdict[str, list[int]] = defaultdict(list)
        self._normal: defaultdict[_Location, list[int]] = defaultdict(list)
        self._hosts: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, location: str, number: int) -> None:
        host, path = normal = _normalised(location)
        self._told[location].append(number)
        self._normal[normal].append(number)
        self._hosts[path].add(host)

    def find(self, location: str) -> Sequence[int]:
        if location in self._told:
            return self._told[location]
        host, path = normal = _normalised(location)
        if normal in self._normal:
            return self._normal[normal]
        hosts = self._hosts.get(path) or set()
        if host and "" in hosts:
            return self._normal["", path]
        if not host and len(hosts) == 1:
            return self._normal[next(iter(hosts)), path]
        return ()


class BulkParts:
    """What the metadata of a message may refer to; knows in the end what nothing referred to."""

    def __init__(self, parts: Sequence[BulkPart]) -> None:
        self._parts = parts
        self._places, self._frames = _Places(), _Places()
        self._frame_numbers: dict[int, int] = {}
        self._claimed: set[int] = set()
        self._left_bytes = SHARED_BYTES
        #: Since the last mark: parts first referred to, and bytes of those referred to again.
        self._newly: list[int] = []
        self._again_bytes = 0
        for number, part in enumerate(parts):
            location = part.content_location.strip()
            if not location:
                continue
            self._places.add(location, number)
            frame = _FRAME.match(location)
            if frame is not None:
                self._frames.add(frame[1], number)
                self._frame_numbers[number] = int(frame[2])

    def one(self, uri: str) -> BulkPart:
        """Raises: ValueUnfit unless there is exactly one part of that location."""
        numbers = self._places.find(uri)
        if len(numbers) > 1:
            raise ValueUnfit("several parts have the Content-Location that its BulkDataURI names")
        if not numbers:
            raise ValueUnfit("no part has the Content-Location that its BulkDataURI names")
        return self._taken(numbers)[0]

    def frames(self, uri: str, count: int) -> Sequence[BulkPart]:
        """The parts of one value in order, one or `count`. Raises: ValueUnfit."""
        numbers = self._places.find(uri)
        by_number = not numbers
        if by_number:
            numbers = self._frames.find(uri)
        if not numbers:
            raise ValueUnfit("no part has the Content-Location that its BulkDataURI names")
        if len(numbers) not in (1, count):
            why = f"it came in {len(numbers)} parts, while NumberOfFrames is {count}"
            raise ValueUnfit(why, FailureReason.DOES_NOT_MATCH)
        parts = self._taken(numbers)
        return self._in_order(numbers) if by_number else parts

    def unclaimed(self) -> Sequence[str]:
        """The Content-Locations of the parts that nothing referred to, "" for those without."""
        left = (n for n in range(len(self._parts)) if n not in self._claimed)
        return [self._parts[number].content_location for number in left]

    def mark(self) -> None:
        """From here on a data set may have to be written anew."""
        self._newly, self._again_bytes = [], 0

    def rewind(self) -> None:
        """As if nothing had been referred to since the mark."""
        self._claimed.difference_update(self._newly)
        self._left_bytes += self._again_bytes
        self.mark()

    def _taken(self, numbers: Sequence[int]) -> Sequence[BulkPart]:
        """Each is new, or takes of what is left, or ends it: the work has the same bounds."""
        for number in numbers:
            if number not in self._claimed:
                self._claimed.add(number)
                self._newly.append(number)
                continue
            cost = len(self._parts[number].data) + _AGAIN_BYTES
            if cost > self._left_bytes:
                raise ValueUnfit("the parts of the message are referred to again and again")
            self._left_bytes -= cost
            self._again_bytes += cost
        return [self._parts[number] for number in numbers]

    def _in_order(self, numbers: Sequence[int]) -> Sequence[BulkPart]:
        by_frame = {self._frame_numbers[number]: self._parts[number] for number in numbers}
        if len(by_frame) != len(numbers) or sorted(by_frame) != list(range(1, len(numbers) + 1)):
            raise ValueUnfit("the parts with its frames have gaps, or a frame comes twice")
        return [by_frame[frame] for frame in sorted(by_frame)]


def _normalised(location: str) -> _Location:
    try:
        scheme, host, path, query, _ = urlsplit(location)
    except ValueError:
        return "", location
    scheme = scheme.lower()
    host = host.lower().removesuffix(_PORTS.get(scheme, ":"))
    if path.startswith(".") or "/." in path:
        path = normpath(path)
    where = f"{scheme}://{host}" if host else scheme
    return where, _ESCAPED.sub(_unescaped, f"{path}?{query}" if query else path)


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.match(character) else match[0].upper()
