"""A data set as clients send it in the Native DICOM Model (PS3.19 A.1): XML in, attributes out.

What comes out has the shape of the DICOM JSON model, so that one writer serves both. Laws: no
DOCTYPE, no entity, no processing instruction, nothing from outside; nesting, size and number of
elements are bounded; text is taken as it stands (xml:space="preserve"), whatever is unknown is
refused. Without a namespace, as some writers leave it, is tolerated; another one isn't.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from xml.parsers import expat

from pydicom.datadict import tag_for_keyword

from farsight.dicom.scan import MAX_DEPTH, MAX_ELEMENTS
from farsight.errors import BadRequest, PayloadTooLarge
from farsight.model import Attributes, JsonAttribute
from farsight.ps318.dicom_xml import NAMESPACE
from farsight.ps318.json_reader import MAX_DOCUMENT_BYTES, MAX_VALUES, Repeated
from farsight.ps318.private_blocks import CREATOR, with_blocks

_GROUPS: Final = {
    "Alphabetic": "Alphabetic",
    "SingleByte": "Alphabetic",  # PS3.19 of 2011
    "Ideographic": "Ideographic",
    "Phonetic": "Phonetic",
}
_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}\Z")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}\Z")
_ENCODING: Final = re.compile(r"(utf-8|utf-16|us-ascii|iso-8859-[1-9]|iso-8859-1[135])\Z")
_BLANK: Final = str.maketrans("", "", " \t\r\n")

#: What each element may hold; those that aren't named here hold text.
_CHILDREN: Final = {
    "": frozenset(("NativeDicomModel",)),
    "NativeDicomModel": frozenset(("DicomAttribute",)),
    "Item": frozenset(("DicomAttribute",)),
    "DicomAttribute": frozenset(("Value", "Item", "PersonName", "BulkData", "InlineBinary")),
    "PersonName": frozenset(_GROUPS),
    **dict.fromkeys(_GROUPS, frozenset(_PARTS)),
    "BulkData": frozenset(),
}


@dataclass(slots=True)
class _Open:
    """An element that isn't closed yet; which of the fields are used depends on its name."""

    name: str
    given: dict[str, str]
    number: int = 0
    text: list[str] = field(default_factory=list)
    attributes: list[tuple[str, JsonAttribute]] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)
    content: JsonAttribute = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)


def read_xml(document: bytes | memoryview) -> Attributes:
    """One data set; a Repeated in its place where an attribute stands in it twice.

    Private attributes are in blocks of their creators, as they have to be in a data set. Values
    are text. Raises: BadRequest where it isn't XML of this kind; PayloadTooLarge.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise PayloadTooLarge(f"metadata of more than {MAX_DOCUMENT_BYTES} bytes")
    reader = _Reader(min(MAX_VALUES, len(document)))
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.XmlDeclHandler = _check_encoding
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_doctype
    parser.SkippedEntityHandler = _refuse_doctype
    parser.ExternalEntityRefHandler = _refuse_doctype
    parser.ProcessingInstructionHandler = _refuse_instruction
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        words = expat.errors.messages.get(error.code, "it can't be read")
        raise BadRequest(f"the metadata is not XML: {words} in line {error.lineno}") from error
    return reader.data_set


def _check_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    """Those of DICOM's sets of one byte, and Unicode: a document must not name just any codec."""
    if encoding is not None and not _ENCODING.match(encoding.lower()):
        _refuse("is in an encoding that can't be read")


def _refuse_doctype(*_: object) -> NoReturn:
    _refuse("has a DOCTYPE or an entity")


def _refuse_instruction(*_: object) -> NoReturn:
    _refuse("has a processing instruction")


def _refuse(why: str) -> NoReturn:
    raise BadRequest(f"the metadata in XML {why}")


class _Reader:
    """What the parser calls. `_open`: the elements around, the innermost last.

    `most`: elements and values, those too that are left out between numbers.
    """

    def __init__(self, most: int) -> None:
        self.data_set: Attributes = {}
        self._open = [_Open("", {})]
        self._left = self._most = most
        self._depth = 0

    def start(self, qualified: str, given: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        around = self._open[-1]
        if namespace not in ("", NAMESPACE) or name not in _CHILDREN.get(around.name, ()):
            _refuse(f"has an element that does not belong into <{around.name}>")
        self._spend(1)
        opened = _Open(name, given)
        if name in ("Value", "PersonName", "Item"):
            opened.number = self._number(given, around)
        self._depth += name == "Item"
        if self._depth > MAX_DEPTH:
            _refuse(f"nests sequences more than {MAX_DEPTH} deep")
        self._open.append(opened)

    def characters(self, text: str) -> None:
        around = self._open[-1]
        if around.name not in _CHILDREN:
            around.text.append(text)
        elif text.strip(" \t\r\n"):
            _refuse(f"has text in <{around.name}>")

    def end(self, _qualified: str) -> None:
        closed = self._open.pop()
        _CLOSING[closed.name](self, closed, self._open[-1])

    def close_model(self, closed: _Open, _around: _Open) -> None:
        self.data_set = _data_set(closed.attributes)

    def close_attribute(self, closed: _Open, around: _Open) -> None:
        tag, content = _identity(closed.given), closed.content
        if closed.values:
            content["Value"] = [closed.values.get(n + 1) for n in range(max(closed.values))]
        content["vr"] = closed.given.get("vr")
        if "privateCreator" in closed.given:
            content[CREATOR] = closed.given["privateCreator"]
        around.attributes.append((tag, content))

    def close_item(self, closed: _Open, around: _Open) -> None:
        self._depth -= 1
        around.values[closed.number] = _data_set(closed.attributes)

    def close_value(self, closed: _Open, around: _Open) -> None:
        around.values[closed.number] = "".join(closed.text) or None

    def close_name(self, closed: _Open, around: _Open) -> None:
        around.values[closed.number] = dict(closed.parts) or None

    def close_group(self, closed: _Open, around: _Open) -> None:
        components = [closed.parts.get(part, "") for part in _PARTS]
        self._settle(around.parts, _GROUPS[closed.name], "^".join(components).rstrip("^"))

    def close_part(self, closed: _Open, around: _Open) -> None:
        self._settle(around.parts, closed.name, "".join(closed.text))

    def close_bulk(self, closed: _Open, around: _Open) -> None:
        uri = closed.given.get("uri") or closed.given.get("uuid")
        if not uri:
            _refuse("has <BulkData> without uri and uuid")
        self._settle(around.content, "BulkDataURI", uri)

    def close_inline(self, closed: _Open, around: _Open) -> None:
        self._settle(around.content, "InlineBinary", "".join(closed.text).translate(_BLANK))

    @staticmethod
    def _settle(where: dict[str, Any], name: str, value: str) -> None:
        if name in where:
            _refuse(f"has two {name} where one belongs")
        where[name] = value

    def _number(self, given: dict[str, str], around: _Open) -> int:
        """From 1, in any order; what is left out is empty."""
        text = given.get("number", str(len(around.values) + 1))
        if not _NUMBER.match(text):
            _refuse("has a value whose number is none")
        number = int(text)
        if number in around.values:
            _refuse("has two values of one number")
        self._spend(max(number - len(around.values) - 1, 0))
        return number

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise PayloadTooLarge(f"metadata of more than {self._most} values")


_CLOSING: Final = {
    "NativeDicomModel": _Reader.close_model,
    "DicomAttribute": _Reader.close_attribute,
    "Item": _Reader.close_item,
    "Value": _Reader.close_value,
    "PersonName": _Reader.close_name,
    **dict.fromkeys(_GROUPS, _Reader.close_group),
    **dict.fromkeys(_PARTS, _Reader.close_part),
    "BulkData": _Reader.close_bulk,
    "InlineBinary": _Reader.close_inline,
}


def _identity(given: dict[str, str]) -> str:
    """The tag; a keyword that is another attribute's means that one of the two is wrong."""
    tag = given.get("tag", "")
    if not _TAG.match(tag):
        _refuse("has an attribute without a tag of eight hexadecimal digits")
    named = tag_for_keyword(given["keyword"]) if given.get("keyword") else None
    if named is not None and named != int(tag, 16):
        _refuse(f"has {tag} with the keyword of {named:08X}")
    return tag.upper()


def _data_set(attributes: list[tuple[str, JsonAttribute]]) -> Attributes:
    if len(attributes) > MAX_ELEMENTS:
        _refuse(f"has a data set of more than {MAX_ELEMENTS} elements")
    plain = [tag for tag, attribute in attributes if CREATOR not in attribute]
    twice = _repeated(plain)
    if twice is None:
        settled = with_blocks(attributes)
        twice = _repeated([tag for tag, _ in settled])
    return dict(settled) if twice is None else Repeated(twice)


def _repeated(tags: list[str]) -> str | None:
    """The first that stands twice."""
    if len(set(tags)) == len(tags):
        return None
    seen: set[str] = set()
    return next(tag for tag in tags if tag in seen or seen.add(tag))  # type: ignore[func-returns-value]
