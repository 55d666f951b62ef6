"""What a client may say about a picture (PS3.18 8.3.5)."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import InvalidParameter
from farsight.ps318.query_values import MAX_NAME_CHARS, MAX_PARAMETERS, MAX_VALUE_CHARS
from farsight.ps318.rendering_query import (
    MAX_COORDINATE,
    MAX_VIEWPORT,
    MAX_WINDOW,
    THUMBNAIL_PARAMETERS,
    Annotation,
    IccProfile,
    Region,
    RenderingQuery,
    Viewport,
    VoiFunction,
    WindowQuery,
    parse_rendering_query,
    parse_thumbnail_query,
    unknown_parameters,
)

LINEAR, EXACT, SIGMOID = VoiFunction.LINEAR, VoiFunction.LINEAR_EXACT, VoiFunction.SIGMOID
#: No number, or none that can be calculated with.
NO_NUMBERS = ("", " ", "x", "nan", "NaN", "inf", "-inf", "Infinity", "1e999", "-1e999", "0x10",
              "1_0", "1;2", "--1", "1e", "e1", ".", "+", "٣", "²", "1\xa0", "1/2",
              "9" * 40, "0" * 40)  # fmt: skip


def parsed(**values: str) -> RenderingQuery:
    return parse_rendering_query(list(values.items()))


def refused(**values: str) -> InvalidParameter:
    with pytest.raises(InvalidParameter) as caught:
        parsed(**values)
    assert caught.value.status == 400
    str(caught.value).encode()  # fit to be sent
    return caught.value


def test_nothing_asked() -> None:
    assert parsed() == RenderingQuery()
    assert RenderingQuery().icc_profile is IccProfile.NO
    assert RenderingQuery().annotations == frozenset()


def test_everything_at_once() -> None:
    query = parse_rendering_query(
        [
            ("accept", "image/png"),
            ("accept", "image/jpeg"),  # negotiated elsewhere, and may be there twice
            ("charset", "utf-8"),
            ("annotation", "patient,technique"),
            ("quality", "80"),
            ("viewport", "512,256,10,20.5,-100,50"),
            ("window", "40,400,sigmoid"),
            ("iccprofile", "srgb"),
        ]
    )
    assert query == RenderingQuery(
        window=WindowQuery(40.0, 400.0, SIGMOID),
        viewport=Viewport(512, 256, Region(10.0, 20.5, 100.0, 50.0, flip_horizontal=True)),
        quality=80,
        annotations=frozenset({Annotation.PATIENT, Annotation.TECHNIQUE}),
        icc_profile=IccProfile.SRGB,
    )


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("40,400,linear", WindowQuery(40, 400, LINEAR)),
        ("40,400,linear-exact", WindowQuery(40, 400, EXACT)),
        ("40,400,LINEAR_EXACT", WindowQuery(40, 400, EXACT)),
        ("40,400,Sigmoid", WindowQuery(40, 400, SIGMOID)),
        ("40,400", WindowQuery(40, 400, LINEAR)),
        ("40,400,", WindowQuery(40, 400, LINEAR)),
        ("-600.5, 1.5e3", WindowQuery(-600.5, 1500, LINEAR)),
        ("+.5,1", WindowQuery(0.5, 1, LINEAR)),
        ("1.,1.", WindowQuery(1, 1, LINEAR)),
        ("0,0.25,linear-exact", WindowQuery(0, 0.25, EXACT)),
        ("0,1e-9,sigmoid", WindowQuery(0, 1e-9, SIGMOID)),
        ("0.30000000000000004,1e30", WindowQuery(0.30000000000000004, MAX_WINDOW, LINEAR)),
    ],
)
def test_window(text: str, window: WindowQuery) -> None:
    assert parsed(window=text).window == window


@pytest.mark.parametrize(
    "text",
    [
        "", ",", ",,", "40", "40,", ",400", "40,400,linear,", "40,400,gamma", "40,400,0",
        "40,0.99", "40,0.99,linear", "40,0", "40,-400", "40,0,sigmoid", "40,0,linear-exact",
        "40,-1,sigmoid", "40,1e-320,sigmoid", "1e31,1", "0,1e31", "0,-0.0,linear-exact",
    ],
)  # fmt: skip
def test_impossible_windows(text: str) -> None:
    assert refused(window=text).name == "window"


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize("place", range(2))
def test_a_window_is_made_of_numbers(number: str, place: int) -> None:
    values = ["40", "400"]
    values[place] = number
    assert refused(window=",".join(values) + ",sigmoid").name == "window"


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("256,128", None),
        (" 256 , 128 ", None),
        ("256,128,,,,", None),
        ("256,128,,", None),
        ("256,128,", None),
        ("256,128,0,0,,", Region(0, 0, None, None)),
        ("256,128,5,6", Region(5, 6, None, None)),
        ("256,128,5", Region(5, 0, None, None)),
        ("256,128,,6,,", Region(0, 6, None, None)),
        ("256,128,,,7,8", Region(0, 0, 7, 8)),
        ("256,128,,,7,", Region(0, 0, 7, None)),
        ("256,128,1.5,2.5,0.25,1e2", Region(1.5, 2.5, 0.25, 100)),
        ("256,128,-5,-6.5", Region(5, 6.5, None, None)),
        ("256,128,0,0,-7,8", Region(0, 0, 7, 8, flip_horizontal=True)),
        ("256,128,0,0,7,-8", Region(0, 0, 7, 8, flip_vertical=True)),
        ("256,128,,,-7,-8", Region(0, 0, 7, 8, flip_horizontal=True, flip_vertical=True)),
        ("256,128,65535,65535,65535,-65535", Region(65535, 65535, 65535, 65535, False, True)),
    ],
)
def test_viewport(text: str, region: Region | None) -> None:
    assert parsed(viewport=text).viewport == Viewport(256, 128, region)


def test_the_largest_and_the_smallest_picture() -> None:
    assert parsed(viewport="1,16384").viewport == Viewport(1, MAX_VIEWPORT, None)


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "256", "256,", ",256", ",,0,0,10,10", "256,256,0,0,10,10,", "0,256", "256,0",
        "-256,256", "256,-256", "16385,1", "1,16385", "256.0,256", "1e2,256", "+256,256",
        "256,256,-65536,0", "256,256,0,0,0,10", "256,256,0,0,10,-0",
        "256,256,65536,0", "256,256,0,0,65536,1", "256,256,0,0,1,-65536",
        "99999999999999999999,1",
    ],
)  # fmt: skip
def test_impossible_viewports(text: str) -> None:
    assert refused(viewport=text).name == "viewport"


@pytest.mark.parametrize("number", [text for text in NO_NUMBERS if text.strip(" ")])
@pytest.mark.parametrize("place", range(6))
def test_a_viewport_is_made_of_numbers(number: str, place: int) -> None:
    values = ["256", "256", "1", "1", "10", "10"]
    values[place] = number
    assert refused(viewport=",".join(values)).name == "viewport"


@pytest.mark.parametrize("value", [1, 50, 100])
def test_quality(value: int) -> None:
    assert parsed(quality=str(value)).quality == value


@pytest.mark.parametrize("text", [*NO_NUMBERS, "0", "101", "-1", "50.0", "1e1", "50,60"])
def test_impossible_qualities(text: str) -> None:
    assert refused(quality=text).name == "quality"


@pytest.mark.parametrize("profile", list(IccProfile))
def test_icc_profile(profile: IccProfile) -> None:
    assert parsed(iccprofile=profile.value).icc_profile is profile
    assert parsed(iccprofile=profile.value.upper()).icc_profile is profile


@pytest.mark.parametrize("text", ["", "true", "srgb,yes", "IccProfile.NO", "NO\0"])
def test_impossible_icc_profiles(text: str) -> None:
    assert refused(iccprofile=text).name == "iccprofile"


def test_annotation() -> None:
    assert parsed(annotation="technique").annotations == {Annotation.TECHNIQUE}
    assert parsed(annotation="patient, patient").annotations == {Annotation.PATIENT}


@pytest.mark.parametrize("text", ["", ",", "patient,", "patient;technique", "burned"])
def test_impossible_annotations(text: str) -> None:
    assert refused(annotation=text).name == "annotation"


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("window", "40,400", "40,401"),
        ("viewport", "1,1", "1,2"),
        ("quality", "1", "2"),
        ("quality", "1", ""),
        ("annotation", "patient", "technique"),
        ("iccprofile", "no", "yes"),
    ],
)
def test_one_thing_at_a_time(name: str, first: str, second: str) -> None:
    with pytest.raises(InvalidParameter, match="more than once") as caught:
        parse_rendering_query([(name, first), (name, first), (name, second)])
    assert caught.value.name == name
    twice = parse_rendering_query([(name, first), (name, first)])
    assert twice == parse_rendering_query([(name, first)])


def test_a_thumbnail_has_a_size_and_nothing_else() -> None:
    assert parse_thumbnail_query([]) == RenderingQuery()
    pairs = [("viewport", "256,128"), ("quality", "x"), ("window", "?"), ("accept", "image/png")]
    assert parse_thumbnail_query(pairs) == RenderingQuery(viewport=Viewport(256, 128, None))
    assert parse_thumbnail_query([("viewport", "256,128,,,,")]).viewport == Viewport(256, 128, None)
    assert unknown_parameters(pairs, THUMBNAIL_PARAMETERS) == ["quality", "window"]


@pytest.mark.parametrize("text", ["", "256", "256,0", "256,256,0,0", "256,256,,,-1,"])
def test_impossible_thumbnails(text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_thumbnail_query([("viewport", text)])
    assert caught.value.name == "viewport"


def test_what_is_unknown_is_ignored_and_named() -> None:
    pairs = [("zoom", "2"), ("Window", "1,2"), ("zoom", "3"), ("", ""), ("window", "1,2")]
    assert parse_rendering_query(pairs) == parsed(window="1,2")
    assert unknown_parameters(pairs) == ["Window", "zoom"]
    known = ("accept", "annotation", "charset", "iccprofile", "quality", "viewport", "window")
    assert unknown_parameters([(name, "x") for name in known]) == []


@pytest.mark.parametrize(
    "pairs",
    [
        [("window", "40,\udcff")],
        [("\udcff", "40,400")],
        [("viewport", "256,256\r\nX: y")],
        [("x", "1\0")],
        [("x", "1")] * (MAX_PARAMETERS + 1),
        [("x" * (MAX_NAME_CHARS + 1), "1")],
        [("window", "1" * (MAX_VALUE_CHARS + 1))],
        [("annotation", "patient," * MAX_VALUE_CHARS)],
    ],
)
def test_what_is_no_query_at_all(pairs: list[tuple[str, str]]) -> None:
    for parse in (parse_rendering_query, parse_thumbnail_query, unknown_parameters):
        with pytest.raises(InvalidParameter) as caught:
            parse(pairs)
        assert len(str(caught.value).encode()) < 500


NUMBERS = st.one_of(
    st.floats().map(str), st.integers().map(str), st.sampled_from(NO_NUMBERS), st.text(max_size=8)
)
VALUES = st.lists(NUMBERS, max_size=8).map(",".join)
NAMES = st.sampled_from(["window", "viewport", "quality", "annotation", "iccprofile", "other"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_the_answer_is_a_picture_that_can_be_drawn_or_a_refusal(
    pairs: list[tuple[str, str]],
) -> None:
    try:
        query = parse_rendering_query(pairs)
    except InvalidParameter as error:
        str(error).encode()
        return
    if query.window is not None:
        assert math.isfinite(query.window.center)
        assert 1 <= query.window.width <= MAX_WINDOW
    if query.viewport is not None:
        assert 1 <= query.viewport.width <= MAX_VIEWPORT
        assert 1 <= query.viewport.height <= MAX_VIEWPORT
        _check_region(query.viewport.region)
    assert query.quality is None or 1 <= query.quality <= 100


def _check_region(region: Region | None) -> None:
    if region is None:
        return
    assert 0 <= region.left <= MAX_COORDINATE
    assert 0 <= region.top <= MAX_COORDINATE
    for extent in (region.width, region.height):
        assert extent is None or 0 < extent <= MAX_COORDINATE


@given(
    st.floats(-MAX_WINDOW, MAX_WINDOW), st.floats(1, MAX_WINDOW), st.sampled_from(list(VoiFunction))
)
def test_every_window_there_is_can_be_asked_for(
    center: float, width: float, function: VoiFunction
) -> None:
    query = parsed(window=f"{center!r},{width!r},{function}")
    assert query.window == WindowQuery(center, width, function)


@given(
    st.integers(1, MAX_VIEWPORT),
    st.integers(1, MAX_VIEWPORT),
    st.lists(st.floats(1e-3, MAX_COORDINATE), min_size=4, max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_every_region_there_is_can_be_asked_for(
    width: int, height: int, edges: list[float], across: bool, upside_down: bool
) -> None:
    signs = (1, 1, -1 if across else 1, -1 if upside_down else 1)
    source = ",".join(repr(edge * sign) for edge, sign in zip(edges, signs, strict=True))
    query = parsed(viewport=f"{width},{height},{source}")
    assert query.viewport == Viewport(width, height, Region(*edges, across, upside_down))


@given(st.lists(st.tuples(st.text(st.characters()), st.text(st.characters())), max_size=4))
def test_any_text_is_understood_or_refused(pairs: list[tuple[str, str]]) -> None:
    for parse in (parse_rendering_query, parse_thumbnail_query, unknown_parameters):
        with contextlib.suppress(InvalidParameter):
            parse(pairs)
