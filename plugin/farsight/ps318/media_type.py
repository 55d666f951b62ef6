"""Which of the representations there are a client gets (PS3.18 8.7): Accept in, choice out.

What a missing transfer-syntax parameter means, and what "*" means, is settled here:

- `*` is whatever is stored, and so is `*/*` or no Accept at all; only that Implicit VR and Big
  Endian leave for `*` alone;
- without the parameter, application/dicom and application/octet-stream mean Explicit VR Little
  Endian (8.7.3.5.2), but an object that has lost in compression is sent as it is (8.7.3), and so is
  one whose pixels nobody here can decode: nobody is served by a refusal that takes a whole study
  with it. An image or video type means whatever is stored of this media type, else its lossless
  default (table 8.7.3-5);
- `type=application/octet-stream; transfer-syntax=*` also gets compressed frames, each part
  under its true media type: viewers ask for everything in this way;
- what loses is only made for who names its transfer syntax.

`others` are the transfer syntaxes that pixels can be transcoded to; what there is, is listed in the
message of NotAcceptable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from farsight.dicom.transfer_syntax import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    LOSSY,
    NATIVE,
)
from farsight.errors import NotAcceptable
from farsight.ps318.accept import ANY, MULTIPART, Accept, MediaRange, parse_accept
from farsight.ps318.frame_media_type import (
    DEFAULTS,
    OCTET_STREAM,
    SYNONYMS,
    frame_media_type,
    is_native,
)

__all__ = [
    "Accept",
    "Offer",
    "choose_bulk_data",
    "choose_capabilities",
    "choose_dicom",
    "choose_frames",
    "choose_metadata",
    "choose_rendered",
    "choose_store_response",
    "frame_media_type",
    "parse_accept",
    "takes_any_dicom",
]

APPLICATION_DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
WADL: Final = "application/vnd.sun.wadl+xml"
DICOM_XML: Final = "application/dicom+xml"
#: Stands for every transfer syntax that no client names: no header can carry it.
_SOME_COMPRESSED: Final = "\0"


@dataclass(frozen=True, slots=True)
class Offer:
    """One representation that can be produced.

    transfer_syntax_uid: of the payload; "" where that says nothing (JSON, documents).
    multipart: parts of multipart/related, else one bare payload. as_stored: not converted.
    by_default: what a request without transfer-syntax parameter means. for_anyone: what one means
    that takes any type of media too; None: what is stored.
    """

    media_type: str
    transfer_syntax_uid: str = ""
    multipart: bool = False
    as_stored: bool = True
    by_default: bool = True
    for_anyone: bool | None = None

    @property
    def content_type(self) -> str:
        """Content-Type of the payload or of each part, with its transfer syntax."""
        if not self.transfer_syntax_uid:
            return self.media_type
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"

    def __str__(self) -> str:
        """As it would be asked for."""
        suffix = f"; transfer-syntax={self.transfer_syntax_uid}" if self.transfer_syntax_uid else ""
        if self.multipart:
            return f'{MULTIPART}; type="{self.media_type}"{suffix}'
        return self.media_type + suffix


def choose_dicom(
    accept: Accept,
    stored_transfer_syntax_uid: str,
    *,
    single_part: bool,
    others: Collection[str] = (),
) -> Offer:
    """A whole object. `single_part`: the resource is one instance, so that needs no multipart.

    Native objects can be had in Explicit VR Little Endian, all as stored, and in `others`. Raises:
    NotAcceptable.
    """
    stored = stored_transfer_syntax_uid
    offers = _dicom_offers(stored, others, multipart=True)
    if single_part:
        offers += _dicom_offers(stored, others, multipart=False)
    return _choose(accept, offers)


def takes_any_dicom(accept: Accept) -> bool:
    """Whether objects in a multipart are acceptable whatever transfer syntax they are stored in.

    False says that each has to be looked at, not that one of them is refused.
    """
    if any(media_range.quality == 0 and _may_be_dicom(media_range)
           for ranges in accept for media_range in ranges):  # fmt: skip
        return False
    try:
        for stored in (*NATIVE, _SOME_COMPRESSED):
            choose_dicom(accept, stored, single_part=False)
    except NotAcceptable:
        return False
    return True


def _may_be_dicom(media_range: MediaRange) -> bool:
    wanted = media_range.part_type if media_range.name == MULTIPART else media_range.name
    return _type_fits(wanted, APPLICATION_DICOM) or wanted == "multipart/*"


def _dicom_offers(stored: str, others: Collection[str], *, multipart: bool) -> list[Offer]:
    explicit = EXPLICIT_VR_LITTLE_ENDIAN
    made = [*others]
    if stored in NATIVE and stored != explicit and explicit not in made:
        made.append(explicit)
    has_default = stored != explicit and explicit in made and stored not in LOSSY
    leaves = stored not in (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
    offers = [Offer(APPLICATION_DICOM, stored, multipart, True, not has_default, leaves)]
    for syntax in made:
        if syntax != stored:
            is_default = has_default and syntax == explicit
            instead = not leaves and syntax == explicit
            offers.append(Offer(APPLICATION_DICOM, syntax, multipart, False, is_default, instead))
    return offers


def choose_frames(
    accept: Accept,
    stored_transfer_syntax_uid: str,
    *,
    single_part: bool,
    others: Collection[str] = (),
) -> Offer:
    """Frames of one instance. `single_part`: one frame is asked for, so that needs no multipart.

    Native pixels are octet-stream in Explicit VR Little Endian whatever they are stored in.
    Raises: NotAcceptable.
    """
    stored = stored_transfer_syntax_uid
    if is_native(stored):
        stored = EXPLICIT_VR_LITTLE_ENDIAN
    offers = [_frame_offer(stored, True, True, "")]
    offers += [
        _frame_offer(syntax, True, False, offers[0].media_type)
        for syntax in others
        if syntax != stored
    ]
    if single_part:
        offers += [replace(offer, multipart=False) for offer in offers]
    return _choose(accept, offers)


def _frame_offer(syntax: str, multipart: bool, as_stored: bool, stored_type: str) -> Offer:
    """`stored_type`: of what is made of something else; the default of that type is as stored."""
    media_type = frame_media_type(syntax)
    if as_stored:
        by_default = media_type != OCTET_STREAM or syntax == EXPLICIT_VR_LITTLE_ENDIAN
    else:
        is_other = media_type != stored_type or syntax == EXPLICIT_VR_LITTLE_ENDIAN
        by_default = syntax in DEFAULTS and is_other
    return Offer(media_type, syntax, multipart, as_stored, by_default)


def choose_bulk_data(accept: Accept, media_type: str = OCTET_STREAM) -> Offer:
    """One value that is not encapsulated pixel data, as octets or as the document it is.

    A media type of its own goes before octet-stream where the client takes both equally.
    Encapsulated pixel data is a matter for choose_frames. Raises: NotAcceptable.
    """
    offers: list[Offer] = []
    for multipart in (True, False):
        if media_type != OCTET_STREAM:
            offers.append(Offer(media_type, "", multipart))
        offers.append(Offer(OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN, multipart))
    return _choose(accept, offers)


def choose_capabilities(accept: Accept) -> Offer:
    """WADL unless JSON is liked better (PS3.18 8.9). Raises: NotAcceptable."""
    return _choose(accept, [Offer(WADL), Offer(JSON)])


def choose_rendered(accept: Accept, offers: Sequence[Offer]) -> Offer:
    """Of what there is of something shown, the default first (PS3.18 8.7.4).

    Raises: NotAcceptable.
    """
    return _choose(accept, offers)


def choose_metadata(accept: Accept) -> Offer:
    """application/dicom+json unless another is liked better: application/json, or a multipart of
    application/dicom+xml (PS3.18 8.7.3.3). Raises: NotAcceptable."""
    return _choose(accept, [Offer(DICOM_JSON), Offer(JSON), Offer(DICOM_XML, multipart=True)])


def choose_store_response(accept: Accept) -> Offer:
    """One data set, in JSON unless XML is liked better (PS3.18 10.5.3). Raises: NotAcceptable."""
    return _choose(accept, [Offer(DICOM_JSON), Offer(JSON), Offer(DICOM_XML)])


def _choose(accept: Accept, offers: Sequence[Offer]) -> Offer:
    """The best offer for the first list that takes one: highest quality, then the client's order.

    As in RFC 9110 12.5.1 the most specific range that fits an offer decides its quality.
    """
    for ranges in accept:
        ranked: list[tuple[float, int, int, Offer]] = []
        for rank, offer in enumerate(offers):
            fitting = [
                (_specificity(media_range), -position, media_range.quality)
                for position, media_range in enumerate(ranges)
                if _fits(media_range, offer)
            ]
            if fitting:
                _, position, quality = max(fitting)
                ranked.append((quality, position, -rank, offer))
        best = max(ranked, key=lambda entry: entry[:3], default=None)
        if best is not None and best[0] > 0:
            return best[3]
    available = ", ".join(str(offer) for offer in offers)
    raise NotAcceptable(f"none of the media types accepted can be produced; available: {available}")


def _fits(media_range: MediaRange, offer: Offer) -> bool:
    if media_range.name == ANY:
        return _syntax_fits(media_range, offer, anything=True)
    if media_range.name in (MULTIPART, "multipart/*"):
        wanted = media_range.part_type
        if not offer.multipart:
            return False
    else:
        wanted = media_range.name
        if offer.multipart:
            return False
    if wanted == OCTET_STREAM and media_range.transfer_syntax == "*":
        return offer.as_stored and offer.media_type != APPLICATION_DICOM
    return _type_fits(wanted, offer.media_type) and _syntax_fits(
        media_range, offer, anything=wanted == ANY
    )


def _type_fits(wanted: str, offered: str) -> bool:
    wanted = SYNONYMS.get(wanted, wanted)
    kind = offered.lower().partition("/")[0]
    return wanted in (ANY, offered.lower(), f"{kind}/*")


def _syntax_fits(media_range: MediaRange, offer: Offer, *, anything: bool) -> bool:
    asked = media_range.transfer_syntax
    if not offer.transfer_syntax_uid:
        return True
    if asked is None:
        if not anything:
            return offer.by_default
        return offer.as_stored if offer.for_anyone is None else offer.for_anyone
    return offer.as_stored if asked == "*" else asked == offer.transfer_syntax_uid


def _specificity(media_range: MediaRange) -> tuple[int, int, int]:
    """How narrow a range is: name, then type of parts, then parameters."""
    return (
        _width(media_range.name),
        _width(media_range.part_type),
        int(media_range.transfer_syntax not in (None, "*")),
    )


def _width(name: str) -> int:
    return 0 if name == ANY else 1 if name.endswith("/*") else 2
