"""OHIF in Chromium on studies that only the PACS holds: lists, draws, scrolls, reloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import phantom
import pytest
from playwright.sync_api import BrowserContext, Route, expect
from pydicom import dcmread
from pydicom.data import get_testdata_file
from viewer import StudyRow, Viewer, opened

from ohif_dist import requires_ohif

pytestmark = [pytest.mark.browser, pytest.mark.orthanc, requires_ohif]

#: Hounsfield units of the phantom and their grey in its window, 400 wide around 40.
GREY_OF_HU = {-1000: 0, -800: 0, 40: 128, 120: 179, 700: 255}

#: For what depends on OHIF's configuration alone.
one_door_is_enough = pytest.mark.parametrize("door", ["full"], indirect=True)

Screenshot = Callable[[Viewer, str], None]


@pytest.fixture
def viewer(browser_context: BrowserContext, door: str) -> Iterator[Viewer]:
    with opened(browser_context, door) as viewer:
        yield viewer


def shows_slice(viewer: Viewer, instance_number: int, slices: int) -> bool:
    """Whether the canvas shows that slice of the phantom: its body, and a bar of its length."""
    expected = phantom.axial_slice(instance_number, slices)
    seen = viewer.image(phantom.SIDE, phantom.SIDE)
    bar = int((seen[242] > 200).sum())
    return abs(bar - phantom.bar_length(instance_number, slices)) <= 2 and all(
        abs(float(np.median(seen[expected == hounsfield])) - grey) <= 2
        for hounsfield, grey in GREY_OF_HU.items()
    )


def likeness(viewer: Viewer, stored: np.ndarray) -> float:
    """Correlation of the canvas with stored values seen through the window it names."""
    window = viewer.window()
    if window is None:
        return 0.0
    width, level = window
    expected = np.clip((stored - (level - width / 2)) / width, 0, 1)
    seen = viewer.image(*stored.shape)
    if seen.min() == seen.max():
        return 0.0
    return float(np.corrcoef(expected.ravel(), seen.ravel())[0, 1])


def test_study_list(viewer: Viewer, screenshot: Screenshot) -> None:
    viewer.open_list()
    screenshot(viewer, "study-list")
    rows = viewer.rows()
    assert StudyRow("Phantom, Thorax", "29-Feb-2024 10:15 AM", "CT", "CT thorax", "212") in rows
    found = {(row.patient, row.date, row.modalities, row.instances) for row in rows}
    assert found == {
        ("Phantom, Thorax", "29-Feb-2024 10:15 AM", "CT", "212"),
        ("Phantom, Unopened", "01-Mar-2024 10:15 AM", "CT", "26"),
        ("Phantom, Report", "02-Mar-2024 10:15 AM", "DOC", "1"),
        ("Anonymous", "25-Jan-2013 10:59 AM", "ECG", "1"),
        ("CompressedSamples, MR1", "26-Aug-2004 06:50 PM", "MR", "1"),
        ("CompressedSamples, CT1", "19-Jan-2004 07:27 AM", "CT", "1"),
    }


def test_open_from_the_list_and_scroll_to_the_last_slice(
    viewer: Viewer, screenshot: Screenshot
) -> None:
    viewer.open_list()
    viewer.open_from_list("Phantom, Thorax")
    first = viewer.wait_for_position(1, 200)
    viewer.wait_until("first slice drawn", lambda: shows_slice(viewer, 200, 200))
    assert first.instance_number == 200, "OHIF orders by position, from the head down"
    expect(viewer.thumbnails()).to_have_count(2)
    screenshot(viewer, "first-slice")

    viewer.press("End")
    last = viewer.wait_for_position(200, 200)
    assert last.instance_number == 1
    viewer.wait_until("last slice drawn", lambda: shows_slice(viewer, 1, 200))
    screenshot(viewer, "last-slice")


def test_deep_link_reload_and_every_slice_of_another_series(viewer: Viewer) -> None:
    viewer.open_study(phantom.study_uid(1))
    viewer.wait_for_position(1, 200)
    viewer.wait_until("drawn", lambda: shows_slice(viewer, 200, 200))
    viewer.page.reload()
    viewer.wait_for_position(1, 200)
    viewer.wait_until("drawn again", lambda: shows_slice(viewer, 200, 200))
    assert viewer.page.url.endswith(f"/ohif/viewer?StudyInstanceUIDs={phantom.study_uid(1)}")

    viewer.thumbnails().filter(has_text="axial 10 mm").dblclick()
    for index in range(1, 13):
        number = 13 - index
        assert viewer.wait_for_position(index, 12).instance_number == number
        viewer.wait_until(f"slice {number}", lambda number=number: shows_slice(viewer, number, 12))
        viewer.press("ArrowDown")


@one_door_is_enough
def test_the_first_image_does_not_wait_for_other_series(viewer: Viewer) -> None:
    held: list[Route] = []
    viewer.page.route(
        f"**/series/{phantom.study_uid(1)}.2/metadata", lambda route: held.append(route)
    )
    viewer.open_study(phantom.study_uid(1))
    viewer.wait_for_position(1, 200)
    viewer.wait_until("drawn", lambda: shows_slice(viewer, 200, 200))
    viewer.wait_until("the other series asked for", lambda: bool(held))
    expect(viewer.thumbnails()).to_have_count(1)
    held[0].continue_()
    expect(viewer.thumbnails()).to_have_count(2)


@one_door_is_enough
def test_a_series_that_fails_is_reported(browser_context: BrowserContext, door: str) -> None:
    failure = {"status": 502, "error": "PACS 'pacs': the association was aborted"}
    expected = ("502", "request failed", "[Object", "Object]", "JSHandle@object")
    with opened(browser_context, door, expected) as viewer:
        viewer.page.route(
            f"**/series/{phantom.study_uid(1)}.2/metadata",
            lambda route: route.fulfill(status=502, json=failure),
        )
        viewer.open_study(phantom.study_uid(1))
        expect(viewer.page.get_by_text(f"{failure['error']} (status 502)")).to_be_visible()
        viewer.wait_for_position(1, 200)
        viewer.wait_until("the other series drawn", lambda: shows_slice(viewer, 200, 200))
        expect(viewer.thumbnails()).to_have_count(1)


@pytest.mark.parametrize(
    ("stored_as", "pixels_of"),
    [
        pytest.param("CT_small.dcm", "CT_small.dcm", id="native"),
        # Decoded by a WebAssembly module in a worker; the lossless original tells what it shows.
        pytest.param("MR_small_jp2klossless.dcm", "MR_small.dcm", id="jpeg-2000"),
    ],
)
def test_real_images(
    viewer: Viewer, screenshot: Screenshot, stored_as: str, pixels_of: str
) -> None:
    original = dcmread(str(get_testdata_file(pixels_of)))
    slope, intercept = original.get("RescaleSlope", 1), original.get("RescaleIntercept", 0)
    stored = original.pixel_array.astype(float) * float(slope) + float(intercept)
    viewer.open_study(original.StudyInstanceUID)
    viewer.wait_for_position(1, 1)
    viewer.wait_until("drawn as stored", lambda: likeness(viewer, stored) > 0.98)
    screenshot(viewer, Path(stored_as).stem)
