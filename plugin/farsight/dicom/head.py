"""The head of a DICOM file: all of it but the long values, found without reading those.

Laws: of a value left out not a byte is read, but for the headers of its fragments; every element
is where `parse_object` would find it; what can't be told from the pieces is left to
`parse_object`, which has to have the whole file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from farsight.dicom.elements import DicomHead, DicomObject
from farsight.dicom.encapsulated import ITEM_LITTLE
from farsight.dicom.far_body import FarBody
from farsight.dicom.part10 import check_guess, opening, span_of
from farsight.dicom.positions import BeyondEnd, Element, Elements, Span
from farsight.dicom.scan import PIXEL_DATA, PIXELS, UNDEFINED, Scanner
from farsight.dicom.transfer_syntax import DEFLATED
from farsight.dicom.vr import US_OR_OW, public_vr
from farsight.errors import MalformedDicom

_STEP_BYTES: Final = 64 * 1024
#: Shorter values are kept: a head has to have what services look at.
_LEAST_LEFT_OUT: Final = 16 * 1024
_MAX_KEPT_BYTES: Final = 16 << 20
_MOST_LEFT_OUT: Final = 16
_BULK_VRS: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
#: The Extended Offset Table and its lengths are needed to find frames.
_ALWAYS_KEPT: Final = frozenset((0x7FE00001, 0x7FE00002))
#: What an image is shown with: its ICC profile, palettes and overlay planes. Kept up to a size that
#: a palette never has, nor the planes of a single frame.
_ICC_PROFILE: Final = 0x00282000
_PALETTES: Final = range(0x00281201, 0x00281300)
_MAX_SHOWN_WITH_BYTES: Final = 4 << 20


def head_of(file: FarBody) -> DicomHead | None:
    """The head of a file; None where it takes the whole file to tell.

    Raises: MalformedDicom, and what reading the file raises.
    """
    body = file.read(0, min(_STEP_BYTES, file.size))
    try:
        offset, syntax, guessed = opening(body)
    except MalformedDicom:
        return None
    if syntax in DEFLATED or offset + 8 > len(body):
        return None
    search = _Search(file, span_of(body, offset, syntax), body)
    if not search.run():
        return None
    span = search.span._replace(stop=len(search.body))
    head = DicomHead(
        Scanner(search.body), span, syntax, search.elements, frozenset(search.left_out)
    )
    if guessed:
        check_guess(head)
    return head


def head_in(whole: DicomObject) -> DicomHead | None:
    """The head of a file that was read whole, in no time; None where that isn't all before its
    pixels."""
    tag = max(whole.elements, key=lambda each: whole.elements[each].value_offset, default=0)
    if tag not in PIXELS or whole.body is not whole.data:
        return None
    pixels = whole.elements[tag]
    if pixels.vr not in _BULK_VRS or (pixels.length < _LEAST_LEFT_OUT and not pixels.undefined):
        return None
    stop = pixels.value_offset
    span = Span(whole.dataset_offset, stop, whole.implicit, whole.big_endian)
    scanner = Scanner(whole.data[:stop])
    syntax = whole.transfer_syntax_uid
    return DicomHead(scanner, span, syntax, dict(whole.elements), frozenset((tag,)))


@dataclass
class _Search:
    """One file being read: `body` is what is kept of it, up to the position `reached`."""

    file: FarBody
    span: Span
    body: bytes
    elements: Elements = field(default_factory=dict)
    left_out: set[int] = field(default_factory=set)

    def run(self) -> bool:
        """Whether all was found. Raises: MalformedDicom."""
        begin, reached, step = self.span.start, len(self.body), _STEP_BYTES
        while True:
            ends = reached == self.file.size
            cut = self._scan(begin, self.file.size - reached, ends=ends)
            if cut is None:
                return True
            if isinstance(cut, Element):
                kept, end = self._leave_out(cut, reached - len(self.body))
                begin, step = len(kept), _STEP_BYTES
                self.body, reached = kept, end
            if ends and not isinstance(cut, Element):
                return False
            more = min(step, self.file.size - reached)
            step *= 2
            if len(self.body) + more > _MAX_KEPT_BYTES or len(self.left_out) > _MOST_LEFT_OUT:
                return False
            self.body += self.file.read(reached, more)
            reached += more

    def _scan(self, begin: int, unread: int, *, ends: bool) -> Element | bool | None:
        """None: through; an element: it can be left out; False: more is needed to go on."""
        found: Elements = dict(self.elements)
        scanner = _HeadScanner(self.body, unread)
        try:
            scanner.top_level(found, begin, self.span, ends=ends)
        except BeyondEnd as error:
            if error.depth or not self._may_leave_out(error.element, unread):
                return False
            found.pop(error.element.tag, None)
            self._take(found)
            return error.element
        except MalformedDicom:
            return False
        self._take(found)
        return None if ends else False

    def _take(self, found: Elements) -> None:
        """Of a tag that stands there twice the last counts, as everywhere."""
        before = self.elements
        self.left_out = {tag for tag in self.left_out if found.get(tag) is before[tag]}
        self.elements = found

    def _may_leave_out(self, element: Element, unread: int) -> bool:
        if not _may_be_long(element.tag):
            return False
        if element.undefined:
            return True
        if element.vr not in _BULK_VRS or element.tag in _ALWAYS_KEPT:
            return False
        if _is_shown_with(element.tag) and element.length <= _MAX_SHOWN_WITH_BYTES:
            return False
        if element.value_offset + len(ITEM_LITTLE) > len(self.body):
            return False  # whether what says UN is a sequence is seen from how it begins
        fits = element.value_offset + element.length <= len(self.body) + unread
        return fits and element.length >= _LEAST_LEFT_OUT

    def _leave_out(self, element: Element, skipped: int) -> tuple[bytes, int]:
        """What is kept up to here, and where in the file it goes on."""
        start = element.value_offset + skipped
        if element.undefined:
            stop = self.file.walk(start)[1]
            length, end = stop - start, stop + 8
        else:
            length, end = element.length, start + element.length
        self.elements[element.tag] = element._replace(value_offset=start, length=length)
        self.left_out.add(element.tag)
        return self.body[: element.value_offset], min(end, self.file.size)


def _may_be_long(tag: int) -> bool:
    """Not what the dictionary has as a number or a text, whatever it says to be: that is looked at
    without asking whether it was left out."""
    return public_vr(tag) in (None, US_OR_OW, *_BULK_VRS)


def _is_shown_with(tag: int) -> bool:
    is_plane = tag >> 24 == 0x60 and tag & 0xFFFF == 0x3000
    return is_plane or tag == _ICC_PROFILE or tag in _PALETTES


class _HeadScanner(Scanner):
    """Goes through a buffer that may end before its data set does."""

    __slots__ = ("_unread",)

    def __init__(self, body: bytes, unread: int) -> None:
        super().__init__(body)
        self._unread = unread

    def top_level(self, elements: Elements, begin: int, span: Span, *, ends: bool) -> None:
        """Raises: BeyondEnd for fragments, and for what isn't in the buffer; MalformedDicom."""
        scan = self._scan_implicit if span.implicit else self._scan_explicit
        stop = len(self.body)
        pos, _ = scan(elements, begin, stop, span.big_endian, 0, False)
        if ends and self.body[pos:stop].strip(b"\0 "):
            raise MalformedDicom(f"{stop - pos} bytes are left over at the end of a data set")

    def _undefined(
        self, tag: int, vr: str, start: int, stop: int, implicit: bool, depth: int
    ) -> tuple[str, int, int]:
        if depth == 0 and (vr in ("OB", "OW") or tag == PIXEL_DATA):
            raise BeyondEnd(Element(tag, vr, start, UNDEFINED, True), stop - start, depth)
        return super()._undefined(tag, vr, start, stop, implicit, depth)

    def _long_form(
        self, pos: int, stop: int, tag: int, code: bytes, length16: int, big_endian: bool
    ) -> tuple[str, int, int]:
        if pos + 12 > stop:
            raise MalformedDicom("the header of an element is cut off")
        true_stop = stop + self._unread if stop == len(self.body) else stop
        return super()._long_form(pos, true_stop, tag, code, length16, big_endian)
