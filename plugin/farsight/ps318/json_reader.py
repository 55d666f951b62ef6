"""Data sets as clients send them in the DICOM JSON model (PS3.18 F.2): text in, objects out.

Laws: nesting, size and number of values are bounded before anything is built, and a document beyond
is refused as a whole, as is what is no JSON; numbers keep the digits they were sent with; whatever
else is wrong with one object doesn't take the others away: an object that names an attribute twice
is given as Repeated, what isn't an object as it is.
"""

from __future__ import annotations

import json
from array import array
from itertools import accumulate
from typing import Any, Final, NoReturn

from farsight.dicom.scan import MAX_DEPTH
from farsight.errors import BadRequest, PayloadTooLarge

MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
#: Attributes, items and values of one document.
MAX_VALUES: Final = 4_000_000

#: Item, attribute and array of values for each sequence; the array of data sets, names in a value.
_MAX_BRACKETS: Final = 3 * (MAX_DEPTH + 1) + 2
_OTHERS: Final = bytes(set(range(256)) - set(b'[]{},"'))
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


class Digits(str):
    """A JSON number as it was written, or one of NaN, Infinity, -Infinity (no JSON, but sent)."""

    __slots__ = ()


class Repeated(dict[str, Any]):
    """An object in which a name stands twice; `name` is the first of them."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def read_json(document: bytes | memoryview) -> list[Any]:
    """The data sets of one document; numbers are Digits. A single object counts as an array of one.

    Raises: BadRequest where it isn't JSON, or nested too deeply; PayloadTooLarge.
    """
    text = _text(document)
    try:
        found = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=Digits,
            parse_int=Digits,
            parse_constant=Digits,
        )
    except ValueError as error:
        raise BadRequest(f"the metadata is not JSON: {_where(error)}") from error
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        _refuse("is neither an array of data sets nor a data set")
    return found


def _text(document: bytes | memoryview) -> str:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise PayloadTooLarge(f"metadata of more than {MAX_DOCUMENT_BYTES} bytes")
    raw = bytes(document)
    steps = array("b", _structure(raw).replace(b",", b"").translate(_STEPS))
    if max(accumulate(steps), default=0) > _MAX_BRACKETS:
        _refuse(f"nests sequences more than {MAX_DEPTH} deep")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("the metadata is not JSON: it is not in UTF-8") from error


def _structure(raw: bytes) -> bytes:
    """Brackets and commas outside of strings. Raises: PayloadTooLarge.

    Two quotes side by side go together: whatever else is inside of a string stays inside of one.
    """
    quoted = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    bare = quoted.translate(None, _OTHERS).replace(b'""', b"")
    if bare.count(b'"') <= MAX_VALUES:
        structure = b"".join(bare.split(b'"')[::2])
        if len(structure) <= 3 * MAX_VALUES and structure.count(b",") <= MAX_VALUES:
            return structure
    raise PayloadTooLarge(f"metadata of more than {MAX_VALUES} values")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    return Repeated(twice)


def _where(error: ValueError) -> str:
    """Without the text it happened in."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "it can't be read"


def _refuse(why: str) -> NoReturn:
    raise BadRequest(f"the metadata {why}")
