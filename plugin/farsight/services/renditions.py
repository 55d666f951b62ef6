"""What kind of thing an instance is when it is shown, and as what it can be (PS3.18 8.7.4)."""

from __future__ import annotations

from enum import StrEnum

from farsight.dicom.elements import Instance
from farsight.dicom.scan import PIXELS
from farsight.dicom.transfer_syntax import VIDEO
from farsight.documents.report import is_structured_report
from farsight.imaging.jobs import ImageType
from farsight.ps318.media_type import Offer

_NUMBER_OF_FRAMES = 0x00280008
#: The largest value of an IS (PS3.5 6.2).
_MOST_FRAMES = 2**31 - 1
_ENCAPSULATED_DOCUMENT = 0x00420011
_PRESENTATION_STATES = "1.2.840.10008.5.1.4.1.1.11."


class Kind(StrEnum):
    """The categories of resources in PS3.18 table 8.7.4-1, and what is in none of them."""

    IMAGE = "image"
    MULTI_FRAME = "multi-frame image"
    VIDEO = "video"
    REPORT = "report"
    DOCUMENT = "document"
    OTHER = "other"


HTML, TEXT = "text/html", "text/plain"
_STILLS = (ImageType.JPEG, ImageType.PNG, ImageType.GIF, ImageType.JP2)


def kind_of(instance: Instance) -> Kind:
    """By what is in the data set, whatever its SOP class."""
    if any(tag in instance.elements for tag in PIXELS):
        if instance.transfer_syntax_uid in VIDEO:
            return Kind.VIDEO
        return Kind.MULTI_FRAME if frames_said(instance) > 1 else Kind.IMAGE
    if _ENCAPSULATED_DOCUMENT in instance.elements:
        return Kind.DOCUMENT
    return Kind.REPORT if is_structured_report(instance) else Kind.OTHER


def is_presentation_state(instance: Instance) -> bool:
    """Whether it says how other instances of its study are to be shown (PS3.3 A.33)."""
    return instance.sop_class_uid.startswith(_PRESENTATION_STATES)


def frames_said(instance: Instance) -> int:
    """NumberOfFrames, 1 where it isn't usable."""
    number = instance.number(_NUMBER_OF_FRAMES)
    return number if isinstance(number, int) and 1 < number <= _MOST_FRAMES else 1


def offers_of(kind: Kind, media_type: str = "", *, frames: int = 0) -> list[Offer]:
    """What there is of an instance, the default first.

    media_type: of a document or a video. frames: how many single ones were asked for, 0 for the
    instance. A still of a multi-frame instance is one of its frames; parts are all of them.
    """
    stills = [Offer(image_type.value) for image_type in _STILLS]
    parts = [Offer(image_type.value, multipart=True) for image_type in _STILLS]
    if kind is Kind.IMAGE or (frames == 1 and kind is Kind.MULTI_FRAME):
        return stills + parts
    if kind is Kind.MULTI_FRAME:
        if frames:
            return [*parts, Offer(ImageType.GIF.value)]
        gif = Offer(ImageType.GIF.value)
        return [gif, *(still for still in stills if still != gif), *parts]
    types = {Kind.REPORT: (HTML, TEXT), Kind.OTHER: (HTML,)}.get(kind, (media_type,))
    return [Offer(one, multipart=several) for several in (False, True) for one in types]
