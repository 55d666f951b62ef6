"""Data sets in the DICOM JSON model (PS3.18 annex F), complete: every attribute, private too.

Left out, as F.2.2 demands: group lengths, and whatever isn't part of the data set (groups 0000
and 0002). Sequences are nested, text is decoded with the character set in force, binary values
up to a small limit are InlineBinary, larger ones and pixel data BulkDataURI. A sequence that
can't be read as one is given as UN with its bytes, so that one broken (mostly private)
sequence doesn't take the object away.

The BulkDataURI is `<root>/<tag>`, or `<root>/<tag>/<item>/<tag>` inside sequences, items
counted from 1. Text that is kept for other clients is moved to their root by `rebase`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final

from farsight.dicom.charset import UNTOLD, CharacterSets, character_sets
from farsight.dicom.elements import PIXEL_REPRESENTATION, SPECIFIC_CHARACTER_SET, DataSet
from farsight.dicom.part10 import parse_dataset
from farsight.dicom.positions import Element
from farsight.errors import MalformedDicom
from farsight.model import Attributes
from farsight.ps318.fragment_cache import FragmentCache
from farsight.ps318.json_values import BINARY_VRS, inline_binary, value_json

#: Another number whenever the text for the same data set changes: what was kept is made anew.
WRITER_VERSION: Final = 1

_FIRST_TAG: Final = 0x00040000
_MAX_CACHED_VALUE: Final = 1024
_MAX_CACHED_SEQUENCE: Final = 16 * 1024

#: Float, double and integer Pixel Data, and Encapsulated Document: never inline.
_ALWAYS_BULK: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010, 0x00420011))


@dataclass(frozen=True, slots=True, eq=False)
class _Context:
    """What an element's text depends on besides its bytes. Compared by identity."""

    character_sets: CharacterSets
    implicit: bool
    big_endian: bool
    pixel_representation: int


_context = functools.lru_cache(maxsize=256)(_Context)


def _context_of(data_set: DataSet, around: _Context | None) -> _Context:
    elements = data_set.elements
    if (
        around is not None
        and (data_set.implicit, data_set.big_endian) == (around.implicit, around.big_endian)
        and SPECIFIC_CHARACTER_SET not in elements
        and PIXEL_REPRESENTATION not in elements
    ):
        return around
    return _context(
        data_set.character_sets(),
        data_set.implicit,
        data_set.big_endian,
        data_set.pixel_representation(),
    )


class DicomJson:
    """Converts data sets, and remembers fragments of the text. Threads may share it."""

    def __init__(
        self, *, inline_limit_bytes: int = 1024, cache_bytes: int = 64 * 1024 * 1024
    ) -> None:
        self._inline_limit_bytes = inline_limit_bytes
        self._cache = FragmentCache(cache_bytes)

    def encode(self, data_set: DataSet, bulk_data_root: str) -> str:
        """One JSON object, without line breaks. `bulk_data_root`: absolute, no slash at its end.

        Never raises for the contents of a data set that was tokenized.
        """
        return _Conversion(self._cache, self._inline_limit_bytes, bulk_data_root).object(
            data_set, ""
        )


class _Conversion:
    """One data set on its way: the root of its bulk data, and how many URIs it has so far."""

    __slots__ = ("_bulk_data_root", "_cache", "_inline_limit_bytes", "_uris")

    def __init__(self, cache: FragmentCache, inline_limit_bytes: int, bulk_data_root: str) -> None:
        self._cache = cache
        self._inline_limit_bytes = inline_limit_bytes
        self._bulk_data_root = encode_basestring(bulk_data_root)[1:-1]
        self._uris = 0

    def object(self, data_set: DataSet, path: str, around: _Context | None = None) -> str:
        """The JSON object of a data set; `around` is the context of the one that holds it."""
        elements, body, lookup = data_set.elements, data_set.body, self._cache.get
        context = _context_of(data_set, around)
        fragments: list[str] = []
        for tag in sorted(elements):
            if tag < _FIRST_TAG or not tag & 0xFFFF:
                continue
            element = elements[tag]
            _, vr, start, length, undefined = element
            if vr == "SQ":
                fragments.append(self._sequence(data_set, element, context, path))
            elif length > _MAX_CACHED_VALUE or undefined or tag in _ALWAYS_BULK:
                fragments.append(self._large(data_set, element, context, path))
            else:
                key = (context, tag, vr, body[start : start + length])
                fragment = lookup(key)
                if fragment is None:
                    fragment = self._small(key, path)
                fragments.append(fragment)
        return f"{{{','.join(fragments)}}}"

    def _small(self, key: tuple[_Context, int, str, bytes], path: str) -> str:
        context, tag, vr, raw = key
        if len(raw) > self._inline_limit_bytes and vr in BINARY_VRS:
            return self._uri(tag, vr, path)
        text = value_json(tag, vr, raw, context.big_endian, context.character_sets)
        fragment = f'"{tag:08X}":{{"vr":{text}}}'
        self._cache.put(key, fragment, len(raw) + len(fragment))
        return fragment

    def _large(self, data_set: DataSet, element: Element, context: _Context, path: str) -> str:
        """A value too large to keep, or one that is never inline: pixels, what is in fragments."""
        tag, vr = element.tag, element.vr
        if element.length == 0:
            return f'"{tag:08X}":{{"vr":"{vr}"}}'
        too_large = vr in BINARY_VRS and element.length > self._inline_limit_bytes
        if too_large or element.undefined or tag in _ALWAYS_BULK:
            return self._uri(tag, vr, path)
        raw = data_set.raw(tag)
        text = value_json(tag, vr, raw, context.big_endian, context.character_sets)
        return f'"{tag:08X}":{{"vr":{text}}}'

    def _uri(self, tag: int, vr: str, path: str) -> str:
        self._uris += 1
        return f'"{tag:08X}":{{"vr":"{vr}","BulkDataURI":"{self._bulk_data_root}{path}/{tag:08X}"}}'

    def _sequence(self, data_set: DataSet, element: Element, context: _Context, path: str) -> str:
        tag, _, start, length, _ = element
        key = None
        if length <= _MAX_CACHED_SEQUENCE:
            key = (context, tag, "SQ", data_set.body[start : start + length])
            fragment = self._cache.get(key)
            if fragment is not None:
                return fragment
        uris_before = self._uris
        fragment = self._items(data_set, element, context, path)
        if key is not None and self._uris == uris_before:  # else it is good for this root only
            self._cache.put(key, fragment, length + len(fragment))
        return fragment

    def _items(self, data_set: DataSet, element: Element, context: _Context, path: str) -> str:
        tag = element.tag
        texts: list[str] = []
        try:
            for number, span in enumerate(data_set.item_spans(element), 1):
                item = data_set.item(span)
                texts.append(self.object(item, f"{path}/{tag:08X}/{number}", context))
        except MalformedDicom:
            return self._unreadable(data_set, tag, path)
        value = f',"Value":[{",".join(texts)}]' if texts else ""
        return f'"{tag:08X}":{{"vr":"SQ"{value}}}'

    def _unreadable(self, data_set: DataSet, tag: int, path: str) -> str:
        raw = data_set.raw(tag)
        if len(raw) > self._inline_limit_bytes:
            return self._uri(tag, "UN", path)
        return f'"{tag:08X}":{{"vr":{inline_binary("UN", raw, 1)}}}'


def rebase(text: bytes, old_root: str, new_root: str) -> bytes:
    """Encoded metadata with its BulkDataURIs moved to another root; both without final slash.

    Exact: inside a JSON string the quotes of the pattern would be escaped.
    """
    pattern = '"BulkDataURI":"%s'
    old, new = (encode_basestring(root)[1:-1] for root in (old_root, new_root))
    return text.replace((pattern % old).encode("utf-8"), (pattern % new).encode("utf-8"))


_SHARED: Final = DicomJson()


def object_json(data_set: DataSet, bulk_data_root: str) -> str:
    """DicomJson.encode with the one converter that the process shares."""
    return _SHARED.encode(data_set, bulk_data_root)


def object_attributes(data_set: DataSet, bulk_data_root: str = "") -> Attributes:
    """A data set as Python values in the shape of the DICOM JSON model."""
    attributes: Attributes = json.loads(_SHARED.encode(data_set, bulk_data_root))
    return attributes


def identifier_attributes(
    data: bytes, transfer_syntax_uid: str, assumed_set: str = ""
) -> Attributes:
    """A bare data set, say the identifier of a C-FIND response, as Python values.

    `assumed_set`: its Specific Character Set where it doesn't name one; "": unknown.
    Raises: MalformedDicom.
    """
    data_set = parse_dataset(data, transfer_syntax_uid)
    data_set.assumed_sets = character_sets(assumed_set.encode("ascii")) if assumed_set else UNTOLD
    return object_attributes(data_set)


def attributes_json(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows of attributes as the JSON array that QIDO-RS answers with (PS3.18 F.2.1)."""
    return json.dumps(list(rows), ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def with_available_syntax(text: str, transfer_syntax_uid: str) -> str:
    """The same data set with Available Transfer Syntax UID (0008,3002), unless it has that.

    Of video viewers have to know it before they ask for any (PS3.18 8.7.3.4, PS3.4 C.6.1.1.5.2).
    """
    attributes = json.loads(text)
    attributes.setdefault("00083002", {"vr": "UI", "Value": [transfer_syntax_uid]})
    return json.dumps(dict(sorted(attributes.items())), ensure_ascii=False, separators=(",", ":"))
