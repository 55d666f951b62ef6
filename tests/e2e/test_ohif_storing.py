"""OHIF stores: files by its upload dialog, and a measurement as a structured report."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import phantom
import pytest
import requests
from playwright.sync_api import BrowserContext, Locator, expect
from pydicom import dcmread
from pydicom.dataset import Dataset
from viewer import Viewer, opened

from ohif_dist import ohif_dist, requires_ohif
from orthanc_process import OrthancProcess
from stowing import STUDIES, doors, held, storing_gateway

pytestmark = [pytest.mark.browser, pytest.mark.orthanc, requires_ohif]

Screenshot = Callable[[Viewer, str], None]
SLICES = 5
LENGTH = re.compile(r"\b(\d+(?:\.\d+)?) mm")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    """An empty one without a PACS."""
    directory, ohif = tmp_path_factory.mktemp("gateway"), {"Ohif": {"Directory": str(ohif_dist())}}
    with storing_gateway(directory, farsight=ohif, AuthenticationEnabled=False) as gateway:
        yield gateway


@pytest.fixture(scope="module", params=["orthanc", "full"])
def door(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    full, orthanc = doors(gateway)
    return orthanc if request.param == "orthanc" else full


@pytest.fixture
def number(request: pytest.FixtureRequest) -> int:
    """Of the study: each door has one."""
    return 10 if request.node.callspec.params["door"] == "full" else 11


@pytest.fixture
def files(number: int, tmp_path: Path) -> list[Path]:
    study = phantom.study_attributes(number, f"Phantom^{number}", "CT thorax", "20240229")
    paths = [tmp_path / f"{at}.dcm" for at in range(SLICES)]
    for path, image in zip(paths, phantom.ct_series(study, 1, "axial", SLICES), strict=True):
        path.write_bytes(image)
    return paths


@pytest.fixture
def viewer(browser_context: BrowserContext, door: str) -> Iterator[Viewer]:
    with opened(browser_context, door) as viewer:
        yield viewer


def _upload(viewer: Viewer, files: list[Path]) -> None:
    viewer.page.goto(f"{viewer.door}/ohif/")
    viewer.page.get_by_text("Upload", exact=True).click()
    viewer.page.locator("input[type=file]").first.set_input_files(files)


def _by_cy(viewer: Viewer, name: str) -> Locator:
    return viewer.page.locator(f'[data-cy="{name}"]')


def test_an_upload(
    viewer: Viewer, gateway: OrthancProcess, files: list[Path], number: int, screenshot: Screenshot
) -> None:
    _upload(viewer, files)
    expect(viewer.page.get_by_text(f"{SLICES} files completed.")).to_be_visible()
    screenshot(viewer, "uploaded")
    viewer.page.get_by_role("button", name="Close").first.click()
    viewer.wait_until("it is in the list", lambda: _in_list(viewer, number))
    stored = {gateway.request("GET", f"/instances/{one}/file") for one in held(gateway)}
    assert {path.read_bytes() for path in files} <= stored
    viewer.open_study(phantom.study_uid(number))
    viewer.wait_for_position(1, SLICES)
    screenshot(viewer, "uploaded-and-opened")


def _in_list(viewer: Viewer, number: int) -> bool:
    return any(row.patient.endswith(str(number)) and row.instances for row in viewer.rows())


def test_an_upload_that_is_refused(
    browser_context: BrowserContext, door: str, files: list[Path], screenshot: Screenshot
) -> None:
    """The dialog says of each file whether it is stored."""
    _store(door, files[:1])
    changed = files[0].read_bytes()
    files[0].write_bytes(changed[:-2] + b"\x12\x34")
    expected = ("409", "request failed", "00081198")  # the answer, which OHIF writes down too
    with opened(browser_context, door, expected) as viewer:
        _upload(viewer, files[:2])
        expect(viewer.page.get_by_text("Completed with 1 error!")).to_be_visible()
        expect(viewer.page.get_by_text("Not stored", exact=True)).to_be_visible()
        expect(viewer.page.get_by_text("another object has this SOP Instance UID")).to_be_visible()
        screenshot(viewer, "upload-refused")


def _store(door: str, files: list[Path]) -> None:
    for file in files:
        answer = requests.post(
            door + STUDIES,
            data=file.read_bytes(),
            headers={"Content-Type": "application/dicom"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text


def test_a_measurement_is_saved_and_read_again(
    viewer: Viewer, gateway: OrthancProcess, files: list[Path], number: int, screenshot: Screenshot
) -> None:
    study = phantom.study_uid(number)
    _store(viewer.door, files)
    viewer.open_study(study)
    viewer.wait_for_position(1, SLICES)
    _measure(viewer)
    shown = _shown_length(viewer)
    viewer.page.get_by_text("Create SR").click()
    dialog = viewer.page.get_by_role("dialog")
    dialog.locator("input").first.fill("Finding")
    screenshot(viewer, "create-report")
    dialog.get_by_role("button", name="Save").click()

    series = f"{viewer.door}{STUDIES}/{study}/series?Modality=SR"
    viewer.wait_until("listed", lambda: requests.get(series, timeout=60).status_code == 200)
    (row,) = requests.get(series, timeout=60).json()
    assert row["0008103E"]["Value"] == ["Finding"]
    assert row["00201209"]["Value"] == [1]
    report = _report(gateway)
    assert report.StudyInstanceUID == study
    assert report.PatientID == f"PHANTOM{number}"
    assert any(abs(value - shown) < 0.1 for value in _numbers(report)), "what the screen says"

    viewer.open_study(study)
    viewer.wait_for_position(1, SLICES)
    _by_cy(viewer, "study-browser-thumbnail-no-image").dblclick()
    _by_cy(viewer, "yes-hydrate-btn").click()
    assert _shown_length(viewer) == shown
    screenshot(viewer, "report-read-again")
    gateway.request("DELETE", f"/series/{_series_of_reports(gateway)[0]}")


def _measure(viewer: Viewer) -> None:
    """A length, drawn with the mouse, and tracked."""
    _by_cy(viewer, "MeasurementTools-split-button-primary").click()
    box = viewer.page.locator("canvas.cornerstone-canvas").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse = viewer.page.mouse
    mouse.move(x - 60, y)
    mouse.down()
    for step in range(1, 7):
        mouse.move(x - 60 + 20 * step, y + 4 * step)
    mouse.up()
    _by_cy(viewer, "prompt-begin-tracking-yes-btn").click()


def _shown_length(viewer: Viewer) -> float:
    """What the list of measurements says, in millimetres."""
    create = viewer.page.get_by_text("Create SR")
    if not create.is_visible():
        _by_cy(viewer, "trackedMeasurements-btn").click()
    expect(create).to_be_visible()
    found: list[str] = []

    def there() -> bool:
        texts = viewer.page.get_by_text(LENGTH).all_text_contents()
        found[:] = LENGTH.findall(" ".join(texts))
        return bool(found)

    viewer.wait_until("a length is shown", there)
    return float(found[0])


def _series_of_reports(gateway: OrthancProcess) -> list[str]:
    series = gateway.json("/series?expand")
    return [one["ID"] for one in series if one["MainDicomTags"]["Modality"] == "SR"]


def _report(gateway: OrthancProcess) -> Dataset:
    (series,) = _series_of_reports(gateway)
    (instance,) = gateway.json(f"/series/{series}")["Instances"]
    return dcmread(io.BytesIO(gateway.request("GET", f"/instances/{instance}/file")))


def _numbers(data_set: Dataset) -> list[float]:
    """All numeric values in the tree of a report."""
    return [float(one.value) for one in data_set.iterall() if one.keyword == "NumericValue"]
