"""Where things lie in an encoded data set: elements and items as positions (PS3.5 section 7)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from farsight.errors import MalformedDicom


class Element(NamedTuple):
    """One element: its value is body[value_offset : value_offset + length].

    `length` in bytes is always the true one; where the encoded length was `undefined` it ends
    before the sequence delimitation item. `vr` is resolved (never two letters "or" two others
    once it is in a DataSet); an undefined-length UN is SQ, as PS3.5 6.2.2 demands.
    """

    tag: int
    vr: str
    value_offset: int
    length: int
    undefined: bool


class Span(NamedTuple):
    """One item of a sequence: its data set is body[start:stop], in the encoding found there."""

    start: int
    stop: int
    implicit: bool
    big_endian: bool


Elements = dict[int, Element]


class Body(Protocol):
    """Bytes that may be far away: a slice of them is read when it is asked for."""

    def __getitem__(self, stretch: slice, /) -> bytes: ...


class BeyondEnd(MalformedDicom):
    """An element whose value reaches beyond the end of the data set, as far as that is known.

    `depth`: in how many items of sequences it stands.
    """

    def __init__(self, element: Element, available: int, depth: int) -> None:
        super().__init__(
            f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X}) is said to be {element.length} "
            f"bytes long, {available} are left in its data set"
        )
        self.element = element
        self.depth = depth
