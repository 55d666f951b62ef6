"""Specific Character Set: bytes of text to Unicode (PS3.3 C.12.1.1.2, PS3.5 6.1).

The tables and the ISO 2022 decoder are pydicom's. Unlike pydicom, a defined term that nobody
knows never names a Python codec: a file must not choose how its bytes are interpreted.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from pydicom.charset import STAND_ALONE_ENCODINGS, decode_bytes, python_encoding

_ESCAPE = b"\x1b"
_DEFAULT = "ISO_IR 6"

#: Characters after which code extension starts afresh (PS3.5 6.1.2.5.3).
TEXT_DELIMITERS: Final = frozenset(b"\r\n\t\f")
VALUE_DELIMITERS: Final = TEXT_DELIMITERS | frozenset(b"\\")
NAME_DELIMITERS: Final = VALUE_DELIMITERS | frozenset(b"^=")


@dataclass(frozen=True, slots=True, eq=False)
class CharacterSets:
    """The encodings in force, the initial one first. Compared by identity: there are few."""

    encodings: tuple[str, ...]
    guessed: bool = False  # UTF-8 where that fits: other text hardly does by accident

    def decode(self, raw: bytes, delimiters: frozenset[int] = VALUE_DELIMITERS) -> str:
        """Text of a value; bytes that don't fit become U+FFFD, nothing is raised."""
        if self.guessed:
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                return raw.decode(self.encodings[0], "replace")
        if _ESCAPE not in raw:
            return raw.decode(self.encodings[0], "replace")
        return decode_bytes(raw, self.encodings, set(delimiters))


#: Of text that comes without a name for its set where it should have one.
UNTOLD: Final = CharacterSets(("latin-1",), guessed=True)


@functools.lru_cache(maxsize=256)
def character_sets(raw: bytes) -> CharacterSets:
    """The character sets that a value of (0008,0005) names; unknown terms count as ISO_IR 6."""
    terms = [term.strip(" \0") for term in raw[:1024].decode("latin-1").split("\\")]
    return _of_terms(tuple(_corrected(term) for term in terms))


def is_character_set(value: str) -> bool:
    """Whether these are defined terms, exactly as written; the first may be empty."""
    first, *others = value.split("\\")
    if others and first in STAND_ALONE_ENCODINGS:
        return False
    return first in python_encoding and all(
        term and term in python_encoding and term not in STAND_ALONE_ENCODINGS for term in others
    )


@functools.lru_cache(maxsize=256)
def _of_terms(terms: tuple[str, ...]) -> CharacterSets:
    first, *others = terms
    if first in STAND_ALONE_ENCODINGS:  # allow no code extensions (PS3.5 6.1.2.5.4)
        return CharacterSets((python_encoding[first],))
    extensions = [term for term in others if term not in STAND_ALONE_ENCODINGS]
    return CharacterSets(tuple(python_encoding[term] for term in (first, *extensions)))


def _corrected(term: str) -> str:
    """A defined term, with the misspellings seen in the field put right."""
    if term in python_encoding:
        return term or _DEFAULT
    for wrong, right in ((r"ISO[^_]IR[ _-]?", "ISO_IR "), (r"ISO.2022.IR.?", "ISO 2022 IR ")):
        candidate = re.sub(rf"\A{wrong}", right, term, flags=re.IGNORECASE)
        if candidate in python_encoding:
            return candidate
    return "ISO_IR 192" if term.upper().replace("-", "") == "UTF8" else _DEFAULT
