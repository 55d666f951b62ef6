"""A request of the URI service as a value: one instance named by its query alone (PS3.18 9).

Laws: names of parameters are told apart without regard to case, for clients in the field spell
them as they like; what the standard forbids to be asked for together is refused by name; what is
not known is ignored, but not in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from farsight.dicom.transfer_syntax import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from farsight.errors import InvalidParameter, NotAcceptable
from farsight.model import InstanceRef, checked_uid
from farsight.ps318 import warning
from farsight.ps318.accept import ANY, Accept, MediaRange, parse_accept
from farsight.ps318.query_values import bounded, decimal, once, uint
from farsight.ps318.rendering_query import (
    MAX_VIEWPORT,
    FractionRegion,
    RenderingQuery,
    VoiFunction,
    WindowQuery,
    checked_window,
    parse_annotations,
    parse_icc_profile,
    parse_quality,
)

MAX_FRAME_NUMBER: Final = 2**31 - 1
_APPLICATION_DICOM: Final = "application/dicom"
#: What stands for a picture where the client doesn't say what it wants (PS3.18 9.3).
_JPEG: Final = MediaRange("image/jpeg", {})
_CHARSET: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~:]{1,64}\Z")

_NAMES: Final = (
    "requestType", "studyUID", "seriesUID", "objectUID", "contentType", "charset", "anonymize",
    "annotation", "rows", "columns", "region", "windowCenter", "windowWidth", "frameNumber",
    "imageQuality", "presentationUID", "presentationSeriesUID", "transferSyntax", "iccprofile",
)  # fmt: skip
#: PS3.18 itself has two names for two of them (9.5.1 and table 9.5.1-1; 8.3.3.1 and 9.1.2.2.1).
_SPELLINGS: Final = {name.lower(): name for name in _NAMES} | {
    "imageannotation": "annotation",
    "accept": "contentType",
}

_Pairs = Sequence[tuple[str, str]]
_AS_IT_IS: Final = RenderingQuery()


@dataclass(frozen=True, slots=True)
class WadoUriRequest:
    """Which instance, and as what.

    content_types: values of contentType, for parse_accept. charsets: best first, lower case.
    presentation: the presentation state to show it by. frame_number: from 1.
    transfer_syntax: a UID, "*" for any, None where it isn't asked for. warnings: texts for
    Warning headers.
    """

    instance: InstanceRef
    content_types: tuple[str, ...] = ()
    charsets: tuple[str, ...] = ()
    rendering: RenderingQuery = _AS_IT_IS
    frame_number: int | None = None
    presentation: InstanceRef | None = None
    transfer_syntax: str | None = None
    warnings: tuple[str, ...] = ()

    def accept(self, header: str | None) -> Accept:
        """What the client accepts; `header`: its Accept header.

        A transfer syntax can only be that of application/dicom, and nothing else will do (9.4.2.4).
        Who doesn't say what it wants gets a picture (9.3), or whatever there is instead of one.
        """
        if self.transfer_syntax is not None:
            return ((MediaRange(_APPLICATION_DICOM, {"transfer-syntax": self.transfer_syntax}),),)
        accept = parse_accept(header, self.content_types)
        if all(media_range.name == ANY for ranges in accept for media_range in ranges):
            return ((_JPEG,), *accept)
        return accept


def parse_wado_uri(query: _Pairs) -> WadoUriRequest:
    """Decoded query pairs, in order, as a request.

    Raises: InvalidParameter, naming it; InvalidUid; NotAcceptable for what the standard knows and
    nobody can have here: anonymized objects, transfer syntaxes that no DICOM web service sends.
    """
    kept = bounded(query)
    pairs = [(_SPELLINGS[name.lower()], value) for name, value in kept if _is_known(name)]
    if _required(pairs, "requestType") != "WADO":
        raise InvalidParameter("requestType", once(pairs, "requestType") or "", "expected WADO")
    _refuse_anonymized(pairs)
    content_types = tuple(value for name, value in pairs if name == "contentType")
    names = _media_types(content_types)
    rendering = _rendering(pairs)
    request = WadoUriRequest(
        instance=InstanceRef(
            _uid(pairs, "studyUID"), _uid(pairs, "seriesUID"), _uid(pairs, "objectUID")
        ),
        content_types=content_types,
        charsets=_charsets(once(pairs, "charset")),
        rendering=rendering,
        frame_number=_uint(pairs, "frameNumber", MAX_FRAME_NUMBER),
        presentation=_presentation(pairs),
        transfer_syntax=_transfer_syntax(once(pairs, "transferSyntax"), names),
        warnings=tuple(
            warning.ignored_parameters(sorted({n for n, _ in kept if not _is_known(n)}))
        ),
    )
    _check_together(request, names)
    return request


def _is_known(name: str) -> bool:
    return name.lower() in _SPELLINGS


def _required(pairs: _Pairs, name: str) -> str:
    value = once(pairs, name)
    if not value:
        raise InvalidParameter(name, "", "it is required")
    return value


def _uid(pairs: _Pairs, name: str) -> str:
    return checked_uid(_required(pairs, name), name)


def _uint(pairs: _Pairs, name: str, most: int) -> int | None:
    text = once(pairs, name)
    return None if text is None else uint(name, text, 1, most)


def _refuse_anonymized(pairs: _Pairs) -> None:
    """9.4.2.3: any value but yes is a bad request, and who can't anonymize answers an error.

    It is one of those errors that must not be ignored like an unknown parameter: the client would
    get identities it asked not to get. The request is well-formed, only there is no such
    representation: 406.
    """
    text = once(pairs, "anonymize")
    if text is None:
        return
    if text != "yes":
        raise InvalidParameter("anonymize", text, "expected yes")
    raise NotAcceptable("anonymize=yes is not supported: objects are served as they are stored")


def _media_types(content_types: Sequence[str]) -> frozenset[str]:
    """Names of the media types, empty where none is asked for. Raises: InvalidParameter.

    9.1.2.2.1: they carry neither transfer syntax nor character set, which have parameters of
    their own. 8.7.5: DICOM and rendered types don't go together.
    """
    text = ",".join(content_types)
    if not text:
        return frozenset()
    (ranges,) = parse_accept(None, content_types)
    for forbidden in ("transfer-syntax", "charset"):
        if any(forbidden in media_range.parameters for media_range in ranges):
            why = f"media types can't have the parameter {forbidden} here"
            raise InvalidParameter("contentType", text, why)
    names = frozenset(media_range.name for media_range in ranges)
    if _APPLICATION_DICOM in names and names - {_APPLICATION_DICOM, ANY}:
        why = f"{_APPLICATION_DICOM} can't be asked for together with others"
        raise InvalidParameter("contentType", text, why)
    return names


def _charsets(text: str | None) -> tuple[str, ...]:
    """Names by weight, best first (9.1.2.2.2); those that are refused are left out."""
    if text is None:
        return ()
    weighted: list[tuple[float, str]] = []
    for item in text.split(","):
        name, _, parameter = (piece.strip(" ") for piece in item.partition(";"))
        if not _CHARSET.match(name):
            raise InvalidParameter("charset", text, "expected names of character sets")
        key, _, weight = (piece.strip(" ") for piece in parameter.partition("="))
        if parameter and key.lower() != "q":
            raise InvalidParameter("charset", text, "a character set has no parameter but q")
        weighted.append((decimal("charset", weight, 0, 1) if parameter else 1.0, name.lower()))
    ranked = sorted(weighted, key=lambda entry: -entry[0])
    return tuple(dict.fromkeys(name for weight, name in ranked if weight > 0))


def _rendering(pairs: _Pairs) -> RenderingQuery:
    region, annotation = once(pairs, "region"), once(pairs, "annotation")
    quality, profile = once(pairs, "imageQuality"), once(pairs, "iccprofile")
    query = RenderingQuery(
        window=_window(pairs),
        region=None if region is None else _region(region),
        quality=None if quality is None else parse_quality("imageQuality", quality),
        annotations=frozenset() if annotation is None else parse_annotations(annotation),
        rows=_uint(pairs, "rows", MAX_VIEWPORT),
        columns=_uint(pairs, "columns", MAX_VIEWPORT),
    )
    return query if profile is None else replace(query, icc_profile=parse_icc_profile(profile))


def _window(pairs: _Pairs) -> WindowQuery | None:
    """There is no function in the URI service (9.5.1.2.6), so it is the one of PS3.3: linear."""
    both = _both(pairs, "windowCenter", "windowWidth")
    if both is None:
        return None
    return checked_window(("windowCenter", "windowWidth"), *both, VoiFunction.LINEAR)


def _both(pairs: _Pairs, one: str, other: str) -> tuple[str, str] | None:
    values = once(pairs, one), once(pairs, other)
    if values[0] is None and values[1] is None:
        return None
    if values[0] is None or values[1] is None:
        missing, there = (one, other) if values[0] is None else (other, one)
        raise InvalidParameter(missing, "", f"it is required where there is {there}")
    return values[0], values[1]


def _region(text: str) -> FractionRegion:
    """`xmin,ymin,xmax,ymax` (9.5.1.2.5)."""
    values = text.split(",")
    if len(values) != 4:
        raise InvalidParameter("region", text, "expected xmin,ymin,xmax,ymax")
    left, top, right, bottom = (decimal("region", value, 0, 1) for value in values)
    if left >= right or top >= bottom:
        raise InvalidParameter("region", text, "expected xmin < xmax and ymin < ymax")
    return FractionRegion(left, top, right, bottom)


def _presentation(pairs: _Pairs) -> InstanceRef | None:
    """A presentation state is of the same study as what it is applied to (PS3.3 C.11.11)."""
    if _both(pairs, "presentationUID", "presentationSeriesUID") is None:
        return None
    names = ("studyUID", "presentationSeriesUID", "presentationUID")
    return InstanceRef(*(_uid(pairs, name) for name in names))


def _transfer_syntax(text: str | None, names: frozenset[str]) -> str | None:
    """A UID or "*" (8.7.3.6). Raises: InvalidParameter, InvalidUid, NotAcceptable."""
    if text is None:
        return None
    if names and _APPLICATION_DICOM not in names:
        why = f"only {_APPLICATION_DICOM} has a transfer syntax"
        raise InvalidParameter("transferSyntax", text, why)
    if text == "*":
        return text
    uid = checked_uid(text, "transferSyntax")
    if uid in (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN):  # 8.7.3.4, and 9.4.2.4 for 406
        raise NotAcceptable(
            f"transferSyntax={uid}: Implicit VR Little Endian and Explicit VR Big Endian are not"
            " used by DICOM web services"
        )
    return uid


def _check_together(request: WadoUriRequest, names: frozenset[str]) -> None:
    """9.5.1.2.6, 9.5.2.3: a window belongs to a picture, not to an object, nor to a presentation
    state, which has its own and is of certain frames. A region may be cut from what it shows."""
    window, frame = request.rendering.window, request.frame_number
    if names == {_APPLICATION_DICOM} and window is not None:
        why = f"it can't be used together with contentType={_APPLICATION_DICOM}"
        raise InvalidParameter("windowCenter", str(window.center), why)
    if frame is not None and names and not any(_may_be_one_frame(name) for name in names):
        why = "none of the media types asked for holds a single frame"
        raise InvalidParameter("frameNumber", str(frame), why)
    if request.presentation is not None:
        for name, value in (("windowCenter", window and window.center), ("frameNumber", frame)):
            if value is not None:
                why = "it can't be used together with presentationUID"
                raise InvalidParameter(name, str(value), why)


def _may_be_one_frame(media_type: str) -> bool:
    return media_type == ANY or media_type.startswith("image/")
