"""Paths of DICOMweb resources (PS3.18 10.1.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import BadRequest, InvalidParameter, InvalidUid, NotFound
from farsight.model import Level
from farsight.ps318.resource_path import MAX_FRAMES, Action, ResourcePath, parse_resource_path

S, E, INST = "1.2", "1.2.3", "1.2.3.4"
BASE = f"/studies/{S}/series/{E}/instances/{INST}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/studies", ResourcePath(Action.SEARCH, Level.STUDY)),
        ("studies", ResourcePath(Action.SEARCH, Level.STUDY)),
        ("/series", ResourcePath(Action.SEARCH, Level.SERIES)),
        ("/instances", ResourcePath(Action.SEARCH, Level.IMAGE)),
        ("/studies/1.2", ResourcePath(Action.OBJECTS, Level.STUDY, S)),
        ("/studies/1.2/metadata", ResourcePath(Action.METADATA, Level.STUDY, S)),
        ("/studies/1.2/rendered", ResourcePath(Action.RENDERED, Level.STUDY, S)),
        ("/studies/1.2/thumbnail", ResourcePath(Action.THUMBNAIL, Level.STUDY, S)),
        ("/studies/1.2/series", ResourcePath(Action.SEARCH, Level.SERIES, S)),
        ("/studies/1.2/instances", ResourcePath(Action.SEARCH, Level.IMAGE, S)),
        ("/studies/1.2/series/1.2.3", ResourcePath(Action.OBJECTS, Level.SERIES, S, E)),
        ("/studies/1.2/series/1.2.3/metadata", ResourcePath(Action.METADATA, Level.SERIES, S, E)),
        ("/studies/1.2/series/1.2.3/instances", ResourcePath(Action.SEARCH, Level.IMAGE, S, E)),
        (BASE, ResourcePath(Action.OBJECTS, Level.IMAGE, S, E, INST)),
        (BASE + "/metadata", ResourcePath(Action.METADATA, Level.IMAGE, S, E, INST)),
        (BASE + "/rendered", ResourcePath(Action.RENDERED, Level.IMAGE, S, E, INST)),
        (BASE + "/thumbnail", ResourcePath(Action.THUMBNAIL, Level.IMAGE, S, E, INST)),
        (BASE + "/frames/3", ResourcePath(Action.FRAMES, Level.IMAGE, S, E, INST, (3,))),
        (BASE + "/frames/2,1, 7", ResourcePath(Action.FRAMES, Level.IMAGE, S, E, INST, (2, 1, 7))),
        (
            BASE + "/frames/1,2/rendered",
            ResourcePath(Action.RENDERED, Level.IMAGE, S, E, INST, (1, 2)),
        ),
        (
            BASE + "/bulkdata",
            ResourcePath(Action.ALL_BULKDATA, Level.IMAGE, S, E, INST),
        ),
        ("/studies/" + S + "/pixeldata", ResourcePath(Action.PIXELDATA, Level.STUDY, S)),
        (
            "/studies/" + S + "/series/" + E + "/bulkdata",
            ResourcePath(Action.ALL_BULKDATA, Level.SERIES, S, E),
        ),
        (
            BASE + "/bulkdata/00420011/1",
            ResourcePath(Action.BULKDATA, Level.IMAGE, S, E, INST, bulkdata=("00420011", "1")),
        ),
    ],
)
def test_resources(path: str, expected: ResourcePath) -> None:
    assert parse_resource_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//studies",
        "/studies/",
        "/studies//series",
        "/studies/..",
        "/studies/../series",
        "/studies/.",
        "/studies/1.2/nonsense",
        "/studies/1.2/frames/1",
        "/studies/1.2/bulkdata/x",
        "/studies/1.2/series/1.2.3/frames/1",
        "/series/1.2",
        "/instances/1.2",
        "/Studies",
        "/studies/1.2/instances/1.2.3",
        BASE + "/frames",
        BASE + "/frames/1/metadata",
        BASE + "/frames/1/x",
        BASE + "/frames/1/rendered/x",
        BASE + "/pixeldata/7FE00010",
        "/studies/1.2/pixeldata/x",
        BASE + "/bulkdata/..",
        BASE + "/bulkdata/a/../b",
        BASE + "/bulkdata/a\x00b",
        BASE + "/bulkdata/" + "/".join("a" * 65),
        BASE + "/metadata/x",
        BASE + "/x/y/z",
    ],
)
def test_what_is_no_resource(path: str) -> None:
    with pytest.raises(NotFound):
        parse_resource_path(path)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/studies/abc", "StudyInstanceUID"),
        ("/studies/1.2%2F3", "StudyInstanceUID"),
        ("/studies/" + "1" * 65, "StudyInstanceUID"),
        ("/studies/1.2\n", "StudyInstanceUID"),
        ("/studies/1.2/series/x/metadata", "SeriesInstanceUID"),
        ("/studies/1.2/series/1/instances/١", "SOPInstanceUID"),
    ],
)
def test_bad_uids_are_named(path: str, named: str) -> None:
    with pytest.raises(InvalidUid, match=named):
        parse_resource_path(path)


@pytest.mark.parametrize(
    "frames",
    [
        *("0", "-1", "1,0", "a", "1,,2", ",", "1;2", "²", "1.5", "+1", "2147483648", "9" * 5000),
        "1,1",
        "2,1,02",
        ",".join(map(str, range(1, MAX_FRAMES + 2))),
        "," * 1_000_000,
    ],
)
def test_bad_frame_lists(frames: str) -> None:
    with pytest.raises(InvalidParameter, match="frames"):
        parse_resource_path(f"{BASE}/frames/{frames}")


def test_the_longest_frame_list_passes() -> None:
    frames = ",".join(map(str, range(1, MAX_FRAMES + 1)))
    assert len(parse_resource_path(f"{BASE}/frames/{frames}").frames) == MAX_FRAMES


@pytest.mark.parametrize(
    ("path", "relational"),
    [
        ("/studies", False),
        ("/series", True),
        ("/instances", True),
        ("/studies/1/series", False),
        ("/studies/1/instances", True),
        ("/studies/1/series/2/instances", False),
        ("/studies/1/series/2", False),
    ],
)
def test_relational_searches(path: str, relational: bool) -> None:
    assert parse_resource_path(path).is_relational is relational


_WORDS = st.sampled_from(
    [
        "studies",
        "series",
        "instances",
        "frames",
        "bulkdata",
        "metadata",
        "rendered",
        "1.2",
        "..",
        ".",
        "",
        "1,2",
        "\x00",
        "x",
    ]
)


@given(st.lists(_WORDS | st.text(max_size=5), max_size=10))
def test_any_path_is_a_resource_or_refused(segments: list[str]) -> None:
    try:
        resource = parse_resource_path("/" + "/".join(segments))
    except (BadRequest, NotFound):
        return
    assert ".." not in segments
    assert resource.sop_instance_uid is None or resource.series_instance_uid is not None


@pytest.mark.parametrize(
    "frames", ["1", "7", "999999999", "2147483647", "0", "01", "1,2", " 1", "99999999999", "x", "١"]
)
@pytest.mark.parametrize("uid", ["1.2.3", "9" * 64, "9" * 65, ".", "..", "1..2", "", "1.2x", "٣"])
def test_a_single_frame_is_read_as_any_other_path(uid: str, frames: str) -> None:
    """It has a way of its own: a trailing comma's worth of frames takes the other."""

    def outcome(path: str) -> object:
        try:
            return parse_resource_path(path)
        except (NotFound, InvalidUid, InvalidParameter) as error:
            return type(error)

    path = f"/studies/{uid}/series/1.2/instances/1.3/frames/{frames}"
    slow = outcome(path.removeprefix("/"))  # which that way doesn't know
    assert outcome(path) == slow
