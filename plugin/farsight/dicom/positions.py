"""Where things lie in an encoded data set: elements and items as positions (PS3.5 section 7)."""

from __future__ import annotations

from typing import NamedTuple


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
