"""Data sets as the Native DICOM Model in XML (PS3.19 A.1), written from the DICOM JSON model.

Characters that XML 1.0 has no way to carry become U+FFFD. The tag of a
private attribute has its block number replaced by 00, and names its creator beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

from farsight.model import Attributes, JsonAttribute
from farsight.ps318.attribute_id import is_private

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def native_dicom_model(attributes: Attributes) -> bytes:
    """One data set as an XML document in UTF-8."""
    root = f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
    text = "".join(_data_set(attributes))
    return f'<?xml version="1.0" encoding="UTF-8"?>{root}{text}</NativeDicomModel>'.encode()


def _data_set(attributes: Attributes) -> Iterator[str]:
    for tag, attribute in attributes.items():
        yield f"<DicomAttribute {_identity(tag, attribute, attributes)}>"
        yield from _content(attribute)
        yield "</DicomAttribute>"


def _identity(tag: str, attribute: JsonAttribute, around: Attributes) -> str:
    vr = attribute.get("vr", "UN")
    creator = _private_creator(tag, around)
    if creator is not None:
        return f'tag="{tag[:4]}00{tag[6:]}" vr="{vr}" privateCreator={_quoted(creator)}'
    keyword = _keyword(tag)
    return f'tag="{tag}" vr="{vr}"' + (f' keyword="{keyword}"' if keyword else "")


def _private_creator(tag: str, around: Attributes) -> str | None:
    """Who reserved the block of a private attribute (PS3.5 7.8.1), if that is told."""
    if not is_private(tag) or tag[4:6] == "00":
        return None
    values = around.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value") or [None]
    return values[0] if isinstance(values[0], str) else None


@lru_cache(maxsize=4096)
def _keyword(tag: str) -> str:
    return "" if is_private(tag) else keyword_for_tag(int(tag, 16))


def _content(attribute: JsonAttribute) -> Iterator[str]:
    if "BulkDataURI" in attribute:
        yield f"<BulkData uri={_quoted(attribute['BulkDataURI'])}/>"
    elif "InlineBinary" in attribute:
        yield f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>"
    else:
        yield from _values(attribute.get("vr", "UN"), attribute.get("Value", ()))


def _values(vr: str, values: Sequence[Any]) -> Iterator[str]:
    """Numbered from 1; what is empty keeps its number."""
    for number, value in enumerate(values, 1):
        if vr == "SQ":
            yield f'<Item number="{number}">{"".join(_data_set(value or {}))}</Item>'
        elif vr == "PN":
            yield f'<PersonName number="{number}">{_person_name(value or {})}</PersonName>'
        else:
            yield f'<Value number="{number}">{_text("" if value is None else value)}</Value>'


def _person_name(value: Mapping[str, str]) -> str:
    """Component groups and components that aren't empty (PS3.19 table A.1.5-6 ff.)."""
    groups = []
    for group in _NAME_GROUPS:
        components = zip(_NAME_PARTS, value.get(group, "").split("^"), strict=False)
        inner = "".join(f"<{part}>{_text(text)}</{part}>" for part, text in components if text)
        if inner:
            groups.append(f"<{group}>{inner}</{group}>")
    return "".join(groups)


def _text(value: Any) -> str:
    # A parser would take a bare carriage return for a line feed.
    return escape(_NOT_IN_XML.sub("\ufffd", str(value)), {"\r": "&#13;"})


def _quoted(value: str) -> str:
    return quoteattr(_NOT_IN_XML.sub("\ufffd", value))
