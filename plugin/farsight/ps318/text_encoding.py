"""Unicode to bytes, in the character set that the metadata names or in UTF-8 (PS3.3 C.12.1.1.2).

DICOM JSON and XML name the set of the object they were made of, for whoever makes it anew (PS3.18
F.2.2, note 3). It is kept where the text fits, since many a PACS knows no other; sets with code
extensions are kept for ASCII only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydicom.charset import python_encoding

from farsight.ps318.refused import ValueUnfit
from farsight.ps318.value_bytes import Encoder

UNICODE: Final = "ISO_IR 192"

#: Defined terms of sets without code extensions, and their codecs.
_CODECS: Final = {
    term: codec
    for term, codec in python_encoding.items()
    if (term.startswith("ISO_IR ") and term != "ISO_IR 6") or term in ("GB18030", "GBK")
}
_KATAKANA: Final = "ISO_IR 13"
#: Yen sign and overline are where ASCII has the backslash, which separates values, and the tilde:
#: what is in their place is read as one or the other.
_INSTEAD_OF_ASCII: Final = frozenset("\u00a5\u203e")


class NotInSet(Exception):
    """Some text has characters that the set in force lacks: the object has to be in Unicode."""


def encoder_for(terms: Sequence[Any]) -> Encoder:
    """In the set that values of (0008,0005) name; what that doesn't have raises NotInSet."""
    term = terms[0] if len(terms) == 1 and isinstance(terms[0], str) else ""
    codec = _CODECS.get(term, "ascii")
    is_katakana = term == _KATAKANA  # the codec knows more than the set has, in pairs of bytes

    def encode(text: str) -> bytes:
        try:
            encoded = text.encode(codec)
        except UnicodeEncodeError as error:
            raise NotInSet from error
        if is_katakana and (len(encoded) != len(text) or not _INSTEAD_OF_ASCII.isdisjoint(text)):
            raise NotInSet
        return encoded

    return encode


def in_unicode(text: str) -> bytes:
    """Raises: ValueUnfit for halves of surrogate pairs."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueUnfit("a value has characters that are none") from error
