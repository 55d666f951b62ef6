"""One data set, read in place: elements by tag, and the few values the gateway itself needs."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final, TypeVar

from farsight.dicom.charset import CharacterSets, character_sets
from farsight.dicom.positions import Element, Elements, Span
from farsight.dicom.scan import Scanner
from farsight.dicom.vr import AMBIGUOUS, US_OR_OW, US_OR_SS, WORD_BYTES
from farsight.errors import MalformedDicom

SPECIFIC_CHARACTER_SET: Final = 0x00080005
PIXEL_REPRESENTATION: Final = 0x00280103
_LUT_DESCRIPTOR: Final = 0x00283002

_NUMBER_CODES: Final = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip


T = TypeVar("T")

_INTEGER: Final = re.compile(rb"[+-]?\d+\Z")
_DECIMAL: Final = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z")


class DataSet:
    """The elements of a data set, or of one item of a sequence, as positions in `body`.

    Nothing is decoded until asked for; items of sequences are tokenized one at a time.
    """

    __slots__ = (
        "_scanner", "assumed_sets", "big_endian", "body", "depth", "elements", "implicit", "parent",
    )  # fmt: skip

    def __init__(
        self,
        scanner: Scanner,
        span: Span,
        parent: DataSet | None = None,
        elements: Elements | None = None,
    ) -> None:
        """Tokenize body[span], unless that was done. Raises MalformedDicom."""
        self.body: bytes = scanner.body
        self.implicit = span.implicit
        self.big_endian = span.big_endian
        self.parent = parent
        #: Where it names none: the default repertoire, or what is known of its origin.
        self.assumed_sets: CharacterSets = (
            character_sets(b"") if parent is None else parent.assumed_sets
        )
        self.depth: int = parent.depth + 1 if parent else 0
        self._scanner = scanner
        if elements is None:
            elements = scanner.data_set(
                span.start, span.stop, span.implicit, span.big_endian, self.depth
            )
        self.elements: Elements = elements
        if AMBIGUOUS & {element.vr for element in self.elements.values()}:
            self._resolve_ambiguous()

    def raw(self, tag: int) -> bytes:
        """A copy of the value as encoded; empty where the element is absent."""
        element = self.elements.get(tag)
        if element is None:
            return b""
        return self.body[element.value_offset : element.value_offset + element.length]

    def view(self, tag: int) -> memoryview:
        """The value as encoded, without a copy; empty where the element is absent."""
        element = self.elements.get(tag)
        if element is None:
            return memoryview(b"")
        start = element.value_offset
        return memoryview(self.body)[start : start + element.length]

    def text(self, tag: int) -> str | None:
        """The value of a UI, CS, AE or other default-repertoire element; None if absent.

        Padding is stripped; several values stay joined by backslashes.
        """
        if tag not in self.elements:
            return None
        return self.raw(tag).decode("latin-1").strip(" \0")

    def number(self, tag: int) -> int | float | None:
        """The first value of a numeric element (binary, IS or DS); None if there is none."""
        element = self.elements.get(tag)
        if element is None or not element.length:
            return None
        code = _NUMBER_CODES.get(element.vr)
        if code is None:
            return _number_in(self.raw(tag))
        if element.length < WORD_BYTES[element.vr]:
            return None
        order = ">" if self.big_endian else "<"
        value: int | float = struct.unpack_from(order + code, self.body, element.value_offset)[0]
        return value

    def count(self, tag: int, name: str) -> int:
        """A whole number that has to be there and above zero. Raises MalformedDicom."""
        value = self.number(tag)
        if not isinstance(value, int) or value < 1:
            raise MalformedDicom(f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X}) is not usable")
        return value

    def item_spans(self, element: Element) -> list[Span]:
        """Where the items of a sequence lie. Raises MalformedDicom."""
        return self._scanner.items(element, self.implicit, self.depth + 1)

    def item(self, span: Span) -> DataSet:
        """One item of a sequence of this data set. Raises MalformedDicom."""
        return DataSet(self._scanner, span, self)

    def character_sets(self) -> CharacterSets:
        """The Specific Character Set in force: its own or an enclosing one's (PS3.3 C.12.1.1.2)."""
        level: DataSet | None = self
        while level is not None:
            if SPECIFIC_CHARACTER_SET in level.elements:
                own = level.raw(SPECIFIC_CHARACTER_SET)
                return character_sets(own) if own.strip(b" \0") else self.assumed_sets
            level = level.parent
        return self.assumed_sets

    def pixel_representation(self) -> int:
        """0 for unsigned, 1 for signed pixels: of this data set or the nearest around it."""
        level: DataSet | None = self
        while level is not None:
            value = level.number(PIXEL_REPRESENTATION)
            if value is not None:
                return int(value != 0)
            level = level.parent
        return 0

    def _resolve_ambiguous(self) -> None:
        """Settle "US or SS" and "US or OW" (PS3.5 A.1, PS3.3 C.7.6.3.1 and C.11.1.1.1)."""
        for tag, element in self.elements.items():
            if element.vr == US_OR_SS:
                vr = "SS" if self.pixel_representation() else "US"
            elif element.vr == US_OR_OW:  # LUT Data: a single entry is US, a table is OW
                vr = "US" if self._lut_entries() == 1 else "OW"
            else:
                continue
            self.elements[tag] = element._replace(vr=vr)

    def _lut_entries(self) -> int:
        descriptor = self.raw(_LUT_DESCRIPTOR)
        return int.from_bytes(descriptor[:2], "big" if self.big_endian else "little")


class Instance(DataSet):
    """The data set of one SOP instance, with or without the bytes of its long values."""

    __slots__ = ("_found", "transfer_syntax_uid")

    #: Elements that are not in `body`.
    left_out: frozenset[int] = frozenset()

    def __init__(
        self,
        scanner: Scanner,
        span: Span,
        transfer_syntax_uid: str,
        elements: Elements | None = None,
    ) -> None:
        super().__init__(scanner, span, elements=elements)
        self.transfer_syntax_uid = transfer_syntax_uid
        self._found: dict[object, object] = {}

    def recall(self, find: Callable[..., T]) -> T | None:
        """What `find` found here, if that was kept."""
        return self._found.get(find)  # type: ignore[return-value]

    def keep(self, find: Callable[..., T], found: T) -> None:
        """As long as this object. For little things that are long to find: positions."""
        self._found[find] = found

    @property
    def sop_class_uid(self) -> str:
        """Empty where the data set has none; so are the other UIDs."""
        return self.text(0x00080016) or ""

    @property
    def sop_instance_uid(self) -> str:
        return self.text(0x00080018) or ""

    @property
    def study_instance_uid(self) -> str:
        return self.text(0x0020000D) or ""

    @property
    def series_instance_uid(self) -> str:
        return self.text(0x0020000E) or ""


class DicomObject(Instance):
    """One DICOM file. `body` is `data` itself, or for deflated syntaxes what it inflates to."""

    __slots__ = ("data", "dataset_offset")

    def __init__(
        self, data: bytes, body: bytes, span: Span, dataset_offset: int, transfer_syntax_uid: str
    ) -> None:
        super().__init__(Scanner(body), span, transfer_syntax_uid)
        self.data = data
        self.dataset_offset = dataset_offset


class DicomHead(Instance):
    """One DICOM file without its long values, which stay where they are.

    `body` is the rest in one piece. `left_out`: the elements whose `value_offset` is a position
    in the file; `raw` and `view` don't have them.
    """

    __slots__ = ("left_out",)

    def __init__(
        self, scanner: Scanner, span: Span, transfer_syntax_uid: str, elements: Elements,
        left_out: frozenset[int],
    ) -> None:  # fmt: skip
        self.left_out = left_out  # before anything is looked at
        super().__init__(scanner, span, transfer_syntax_uid, elements)

    def raw(self, tag: int) -> bytes:
        self._refuse(tag)
        return super().raw(tag)

    def view(self, tag: int) -> memoryview:
        self._refuse(tag)
        return super().view(tag)

    def _refuse(self, tag: int) -> None:
        if tag in self.left_out:
            raise LookupError(f"{tag:08X} was left out of this head")


def _number_in(raw: bytes) -> int | float | None:
    """The first value of an IS or DS (PS3.5 6.2)."""
    text = raw[:64].split(b"\\")[0].strip(b" \0")
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _DECIMAL.match(text) else None
