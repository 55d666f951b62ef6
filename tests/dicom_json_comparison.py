"""DICOM JSON beside an independent reading of the same object by pydicom."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from pydicom.dataset import Dataset

from farsight.dicom.byte_order import swapped
from farsight.dicom.elements import DicomObject
from farsight.ps318.bulk_data import find_bulk_data

BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
NUMERIC_WORDS = {"AT", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"}

#: Where our text and pydicom's differ on purpose: the difference, and why ours is right.
JUSTIFIED = {
    "padding": "pydicom strips the end of the field; each value has its padding (PS3.5 6.2)",
    "empty value": "pydicom writes an empty string; F.2.5 wants null",
    "empty name group": 'pydicom writes "Alphabetic": ""; F.2.2 wants the non-empty groups',
    "empty sequence": "pydicom writes Value []; F.2.5 wants no Value",
    "not a number": "pydicom raises for IS and DS that are no numbers; F.2.3 allows a string",
    "byte order": "pydicom leaves big endian values as they are; F.2.7 wants little endian",
    "UN in big endian": "pydicom takes what UN holds for big endian; it is little (PS3.5 6.2.2)",
}


def _value(parsed: DicomObject, path: str) -> bytes | memoryview:
    """Of encapsulated pixels, which are served frame by frame, the fragments as they stand."""
    found = find_bulk_data(parsed, path)
    return found.holder.view(found.tag) if found.in_frames else found.value


class Comparison:
    """Walks two readings of one object side by side."""

    def __init__(
        self, parsed: DicomObject, root: str, fetch: Callable[[str], bytes] | None = None
    ) -> None:
        """root: what BulkDataURIs begin with. fetch: gets one of them; by default it is looked up
        in `parsed`."""
        self.parsed = parsed
        self.seen: set[str] = set()
        self._root = root
        self._fetch = fetch or (lambda uri: _value(parsed, uri.removeprefix(root)))

    def compare(self, ours: dict[str, Any], theirs: Dataset, path: str = "") -> None:
        elements = [e for e in theirs if e.tag.group > 2 and e.tag.element != 0]
        assert list(ours) == [f"{int(element.tag):08X}" for element in elements], path
        for element in elements:
            tag = f"{int(element.tag):08X}"
            self._attribute(ours[tag], element, f"{path}/{tag}")

    def _attribute(self, ours: dict[str, Any], element: Any, path: str) -> None:
        big_endian = self.parsed.big_endian
        if big_endian and ours["vr"] == "UN" and element.VR in NUMERIC_WORDS:
            self.seen.add("UN in big endian")
            return
        assert ours["vr"] == element.VR, path
        assert set(ours) <= {"vr", "Value", "InlineBinary", "BulkDataURI"}
        assert len(ours) <= 2
        if element.VR == "SQ":
            items = ours.get("Value", [])
            assert len(items) == len(element.value), path
            if not items:
                self.seen.add("empty sequence")
                assert "Value" not in ours
            for number, (item, expected) in enumerate(zip(items, element.value, strict=True), 1):
                self.compare(item, expected, f"{path}/{number}")
        elif element.VR in BINARY:
            self._binary(ours, element, path)
        else:
            self._values(ours, element, path)

    def _binary(self, ours: dict[str, Any], element: Any, path: str) -> None:
        expected = element.value or b""
        if self.parsed.big_endian and element.VR not in ("OB", "UN"):
            self.seen.add("byte order")
            expected = swapped(expected, 2)  # all there is in the collection is OW
        elif self.parsed.big_endian and element.tag == 0x7FE00010:
            bits = self.parsed.number(0x00280100)
            expected = swapped(expected, max(int(bits or 0) // 8, 1))
        assert len(expected) > 1024 or "BulkDataURI" not in ours or element.tag.group == 0x7FE0
        if "BulkDataURI" in ours:
            assert ours["BulkDataURI"] == self._root + path
            assert bytes(self._fetch(ours["BulkDataURI"])) == expected, path
        elif "InlineBinary" in ours:
            assert base64.b64decode(ours["InlineBinary"], validate=True) == expected, path
        else:
            assert expected == b"", path

    def _values(self, ours: dict[str, Any], element: Any, path: str) -> None:
        try:
            expected = element.to_json_dict(None, 0)
        except ValueError:
            self.seen.add("not a number")
            assert element.VR in ("IS", "DS")
            assert all(isinstance(value, str | int | float) for value in ours["Value"])
            return
        values = [self._justified(value, element.VR) for value in expected.get("Value", [])]
        values = [] if values == [None] else values
        assert ours.get("Value", []) == values, path
        assert ours.get("Value") != []

    def _justified(self, value: Any, vr: str) -> Any:
        if isinstance(value, str):
            front_counts = vr in ("LT", "ST", "UT", "UC", "UR")
            stripped = value.rstrip(" \0") if front_counts else value.strip(" \0")
            if value != stripped:
                self.seen.add("padding")
            if not stripped:
                self.seen.add("empty value")
            return stripped or None
        if isinstance(value, dict):
            groups = {name: text.strip(" \0") for name, text in value.items()}
            if not all(groups.values()):
                self.seen.add("empty name group")
            return {name: text for name, text in groups.items() if text} or None
        return value
