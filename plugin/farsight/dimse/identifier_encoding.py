"""C-FIND, C-GET and C-MOVE identifiers as bytes (PS3.4 C.2.2.1, PS3.5 7)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from farsight.model import IdentifierKey

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
_SPECIFIC_CHARACTER_SET = 0x00080005
_QUERY_RETRIEVE_LEVEL = 0x00080052


def encode_identifier(
    level: str,
    keys: Sequence[IdentifierKey],
    transfer_syntax_uid: str,
    character_set: str | None,
) -> bytes:
    """The identifier's bytes; `character_set` None leaves (0008,0005) out (retrieve identifiers).

    Raises: UnicodeEncodeError when a value doesn't fit the character set.
    """
    data_set = Dataset()
    data_set.add_new(_QUERY_RETRIEVE_LEVEL, "CS", str(level))
    for key in keys:
        value = _value(key) if key.value else ([] if key.vr == "SQ" else None)
        data_set.add_new(int(key.tag, 16), key.vr, value)
    if character_set is not None:
        data_set.add_new(_SPECIFIC_CHARACTER_SET, "CS", character_set.split("\\"))
    if (text := _unencodable(keys, character_set)) is not None:
        raise UnicodeEncodeError(character_set or "ascii", text, 0, len(text), "not encodable")
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_LE
    write_dataset(buffer, data_set, parent_encoding=_python_encoding(character_set))
    return bytes(buffer.getvalue())


def _value(key: IdentifierKey) -> object:
    if key.vr in ("US", "SS", "UL", "SL"):
        return [int(number) for number in key.value.split("\\")]
    return key.value.split("\\") if "\\" in key.value and key.vr not in _ONE_VALUE else key.value


_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR"})


def _python_encoding(character_set: str | None) -> list[str]:
    return convert_encodings((character_set or "ISO_IR 6").split("\\"))


def is_encodable(keys: Sequence[IdentifierKey], character_set: str | None) -> bool:
    """Whether every value can be written in that set."""
    return _unencodable(keys, character_set) is None


def _unencodable(keys: Sequence[IdentifierKey], character_set: str | None) -> str | None:
    """The first value that can't: pydicom replaces what doesn't fit, and a query must never
    become another query."""
    encodings = _python_encoding(character_set)
    values = (key.value for key in keys if not key.value.isascii())
    return next((value for value in values if not _fits(value, encodings)), None)


def _fits(text: str, encodings: Sequence[str]) -> bool:
    """Whether each character is in one of the sets: code extensions switch between them."""
    return all(any(_has(encoding, character) for encoding in encodings) for character in set(text))


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode("ascii" if encoding == "iso8859" else encoding)
    except UnicodeEncodeError:
        return False
    return True
