"""Requests of the URI service (PS3.18 9)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import BadRequest, FarsightError, InvalidParameter, InvalidUid, NotAcceptable
from farsight.model import InstanceRef
from farsight.ps318.media_type import choose_dicom
from farsight.ps318.query_values import MAX_PARAMETERS, MAX_VALUE_CHARS
from farsight.ps318.rendering_query import (
    Annotation,
    FractionRegion,
    IccProfile,
    RenderingQuery,
    VoiFunction,
    WindowQuery,
)
from farsight.ps318.wado_uri import MAX_FRAME_NUMBER, WadoUriRequest, parse_wado_uri

REQUIRED = {"requestType": "WADO", "studyUID": "1.2", "seriesUID": "1.3", "objectUID": "1.4"}
INSTANCE = InstanceRef("1.2", "1.3", "1.4")
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
DICOM = "application/dicom"


def parsed(**values: str) -> WadoUriRequest:
    return parse_wado_uri([*REQUIRED.items(), *values.items()])


def refused(**values: str) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parsed(**values)
    assert caught.value.status == 400
    str(caught.value).encode()
    return caught.value


def test_the_least_that_can_be_asked() -> None:
    assert parsed() == WadoUriRequest(INSTANCE)
    assert parsed().rendering == RenderingQuery()


def test_a_picture_with_everything() -> None:
    request = parsed(
        contentType="image/jpeg;q=0.5,image/png",
        charset="utf-8",
        annotation="patient,technique",
        rows="512",
        columns="256",
        region="0.25,0,1,0.5",
        windowCenter="-40.5",
        windowWidth="4e2",
        frameNumber="3",
        imageQuality="90",
        iccprofile="displayp3",
    )
    assert request == WadoUriRequest(
        INSTANCE,
        content_types=("image/jpeg;q=0.5,image/png",),
        charsets=("utf-8",),
        rendering=RenderingQuery(
            window=WindowQuery(-40.5, 400.0, VoiFunction.LINEAR),
            region=FractionRegion(0.25, 0.0, 1.0, 0.5),
            quality=90,
            annotations=frozenset(Annotation),
            icc_profile=IccProfile.DISPLAY_P3,
            rows=512,
            columns=256,
        ),
        frame_number=3,
    )


def test_what_ohif_sends_for_an_object() -> None:
    request = parsed(contentType=DICOM, transferSyntax="*")
    assert request.transfer_syntax == "*"
    for stored in (IMPLICIT, EXPLICIT, JPEG):
        offer = choose_dicom(request.accept("*/*"), stored, single_part=True)
        assert (offer.transfer_syntax_uid, offer.as_stored, offer.multipart) == (
            stored, True, False,
        )  # fmt: skip


def test_names_in_any_case_and_of_either_table() -> None:
    pairs = [(name.upper(), value) for name, value in REQUIRED.items()]
    pairs += [("WINDOWCENTER", "1"), ("windowwidth", "2"), ("imageAnnotation", "patient")]
    request = parse_wado_uri([*pairs, ("accept", "image/png"), ("ContentType", "image/gif")])
    assert request.instance == INSTANCE
    assert request.rendering.window == WindowQuery(1, 2, VoiFunction.LINEAR)
    assert request.rendering.annotations == {Annotation.PATIENT}
    assert request.content_types == ("image/png", "image/gif")
    assert request.warnings == ()


def test_two_spellings_are_one_parameter() -> None:
    with pytest.raises(InvalidParameter, match="more than once"):
        parse_wado_uri([*REQUIRED.items(), ("studyuid", "1.9")])
    assert parse_wado_uri([*REQUIRED.items(), ("studyuid", "1.2")]) == parsed()


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_required(name: str, value: str | None) -> None:
    pairs = [(key, text) for key, text in REQUIRED.items() if key != name]
    with pytest.raises(InvalidParameter, match="required") as caught:
        parse_wado_uri(pairs if value is None else [*pairs, (name, value)])
    assert caught.value.name == name


@pytest.mark.parametrize("value", ["wado", "WADO-RS", "QIDO", "WADO "])
def test_other_requests(value: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_wado_uri([*(REQUIRED | {"requestType": value}).items()])
    assert caught.value.name == "requestType"


@pytest.mark.parametrize(
    "name",
    ["studyUID", "seriesUID", "objectUID", "presentationUID", "presentationSeriesUID",
     "transferSyntax"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["1.2/../3", "1" * 65, "1.2 ", "1,2", "a", "1.2*", "١"])
def test_every_uid_is_checked(name: str, value: str) -> None:
    values = REQUIRED | {"presentationUID": "1.5", "presentationSeriesUID": "1.6", name: value}
    with pytest.raises(InvalidUid, match=name):
        parse_wado_uri([*values.items()])


def test_a_presentation_state() -> None:
    request = parsed(presentationUID="1.5", presentationSeriesUID="1.6", region="0,0,1,1")
    assert request.presentation == InstanceRef("1.2", "1.6", "1.5")


@pytest.mark.parametrize(
    "values",
    [
        {"presentationUID": "1.5"},
        {"presentationSeriesUID": "1.5"},
        {"presentationUID": "1.5", "presentationSeriesUID": ""},
        {"windowCenter": "1"},
        {"windowWidth": "1"},
        {"windowCenter": "1", "windowWidth": ""},
        {"windowCenter": "nan", "windowWidth": "1"},
        {"windowCenter": "1", "windowWidth": "inf"},
        {"windowCenter": "1", "windowWidth": "0.5"},
        {"windowCenter": "1", "windowWidth": "-1"},
        {"windowCenter": "1\\2", "windowWidth": "1\\2"},
        {"windowCenter": "1", "windowWidth": "2", "contentType": DICOM},
        {"windowCenter": "1", "windowWidth": "2", "presentationUID": "1.5",
         "presentationSeriesUID": "1.6"},
        {"frameNumber": "1", "presentationUID": "1.5", "presentationSeriesUID": "1.6"},
        {"frameNumber": "0"},
        {"frameNumber": "-1"},
        {"frameNumber": "1,2"},
        {"frameNumber": "1.0"},
        {"frameNumber": "2147483648"},
        {"frameNumber": ""},
        {"frameNumber": "1", "contentType": DICOM},
        {"frameNumber": "1", "contentType": "video/mp4,video/mpeg"},
        {"rows": "0"},
        {"rows": "16385"},
        {"columns": "-5"},
        {"columns": "1e3"},
        {"imageQuality": "0"},
        {"imageQuality": "101"},
        {"annotation": "name"},
        {"iccprofile": "cmyk"},
        {"charset": ""},
        {"charset": "utf-8;level=1"},
        {"charset": "utf-8;q=2"},
        {"charset": "utf-8;q=nan"},
        {"charset": "utf 8"},
        {"charset": "x" * 65},
        {"anonymize": "no"},
        {"anonymize": ""},
        {"contentType": "image/jpeg;transfer-syntax=*"},
        {"contentType": f"{DICOM};transfer-syntax={JPEG}"},
        {"contentType": "text/html;charset=utf-8"},
        {"contentType": f"{DICOM},image/jpeg"},
        {"transferSyntax": "*", "contentType": "image/jpeg"},
        {"transferSyntax": JPEG, "contentType": "*/*"},
        {"transferSyntax": ""},
        {"windowCenter": "1\udcff", "windowWidth": "1"},
        {"x": "\0"},
        {"x": "1" * (MAX_VALUE_CHARS + 1)},
    ],
)  # fmt: skip
def test_what_cannot_be(values: dict[str, str]) -> None:
    refused(**values)


@pytest.mark.parametrize(
    "text",
    ["", "0,0,1", "0,0,1,1,1", "0,0,0,1", "0,0,1,0", "0.5,0,0.5,1", "0,0.6,1,0.5", "-0.1,0,1,1",
     "0,0,1.01,1", "0,0,1,nan", "0,0,1,inf", "0,0,,1", "0;0;1;1", "0,0,1e-999,1"],
)  # fmt: skip
def test_impossible_regions(text: str) -> None:
    error = refused(region=text)
    assert isinstance(error, InvalidParameter)
    assert error.name == "region"


def test_the_edges_of_what_can_be() -> None:
    assert parsed(frameNumber=str(MAX_FRAME_NUMBER)).frame_number == MAX_FRAME_NUMBER
    assert parsed(frameNumber="1", contentType="image/*").frame_number == 1
    assert parsed(frameNumber="2", contentType="video/mp4,*/*").frame_number == 2
    assert parsed(rows="1").rendering == RenderingQuery(rows=1)
    assert parsed(columns="16384").rendering == RenderingQuery(columns=16384)
    whole = RenderingQuery(region=FractionRegion(0, 0, 1, 1))
    assert parsed(region="0.0, 0, 1., 1e0").rendering == whole
    assert parsed(contentType="").content_types == ("",)


def test_identities_are_not_given_to_who_asks_for_none() -> None:
    with pytest.raises(NotAcceptable, match="anonymize"):
        parsed(anonymize="yes")
    with pytest.raises(NotAcceptable, match="anonymize"):
        parsed(Anonymize="yes", contentType=DICOM)


@pytest.mark.parametrize("uid", [IMPLICIT, BIG])
def test_transfer_syntaxes_no_web_service_sends(uid: str) -> None:
    with pytest.raises(NotAcceptable, match=uid):
        parsed(transferSyntax=uid, contentType=DICOM)


def test_charsets_best_first() -> None:
    request = parsed(charset="ISO-8859-1;q=0.2, utf-8 ; Q=0.9,us-ascii;q=0,UTF-8,*;q=0.1")
    assert request.charsets == ("utf-8", "iso-8859-1", "*")


def names(request: WadoUriRequest, header: str | None) -> list[list[str]]:
    return [[media_range.name for media_range in ranges] for ranges in request.accept(header)]


def test_who_says_nothing_gets_a_picture() -> None:
    for header in (None, "", "*/*", "*/*;q=0.5", "*"):
        assert names(parsed(), header) == [["image/jpeg"], ["*/*"]]
    assert names(parsed(), DICOM) == [[DICOM]]
    assert names(parsed(contentType=DICOM), "*/*") == [[DICOM], ["*/*"]]
    assert names(parsed(contentType="image/png"), None) == [["image/png"]]


def test_a_transfer_syntax_is_given_or_refused() -> None:
    request = parsed(transferSyntax=EXPLICIT, contentType=DICOM)
    offer = choose_dicom(request.accept("*/*"), IMPLICIT, single_part=True)
    assert (offer.transfer_syntax_uid, offer.multipart) == (EXPLICIT, False)
    with pytest.raises(NotAcceptable):
        choose_dicom(request.accept("*/*"), JPEG, single_part=True)
    assert names(parsed(transferSyntax=JPEG), "*/*") == [[DICOM]]


def test_what_is_unknown_is_ignored_and_named() -> None:
    request = parsed(zoom="2", frame="1")
    assert request.instance == INSTANCE
    assert [text.split()[2] for text in request.warnings] == ["frame", "zoom"]


def test_too_many_parameters() -> None:
    with pytest.raises(InvalidParameter):
        parse_wado_uri([*REQUIRED.items(), *[("x", "1")] * MAX_PARAMETERS])


NAMES = st.sampled_from(
    ["contentType", "charset", "annotation", "rows", "columns", "region", "windowCenter",
     "windowWidth", "frameNumber", "imageQuality", "presentationUID", "presentationSeriesUID",
     "transferSyntax", "iccprofile", "Rows", "other"]
)  # fmt: skip
VALUES = st.one_of(
    st.floats().map(str),
    st.integers(-2, 200).map(str),
    st.lists(st.floats(0, 1).map(str), max_size=5).map(",".join),
    st.sampled_from([DICOM, "image/jpeg", "video/mp4", "*/*", "*", JPEG, "utf-8;q=0.5", ""]),
    st.text(st.characters(), max_size=8),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_the_answer_is_something_that_can_be_done_or_a_refusal(
    pairs: list[tuple[str, str]],
) -> None:
    try:
        request = parse_wado_uri([*REQUIRED.items(), *pairs])
    except (BadRequest, NotAcceptable) as error:
        str(error).encode()
        return
    region, window = request.rendering.region, request.rendering.window
    if region is not None:
        assert 0 <= region.left < region.right <= 1
        assert 0 <= region.top < region.bottom <= 1
    assert window is None or window.width >= 1
    assert request.frame_number is None or 1 <= request.frame_number <= MAX_FRAME_NUMBER
    assert request.presentation is None or (window is None and request.frame_number is None)
    assert request.accept("*/*")[0]


@given(st.lists(st.tuples(st.text(st.characters()), st.text(st.characters())), max_size=4))
def test_any_text_is_understood_or_refused(pairs: list[tuple[str, str]]) -> None:
    with contextlib.suppress(FarsightError):
        parse_wado_uri([*REQUIRED.items(), *pairs])
