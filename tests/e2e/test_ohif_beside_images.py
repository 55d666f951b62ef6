"""What OHIF asks the server to draw or to hand out: thumbnails, a document, an ECG."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np
import phantom
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Request, expect
from pydicom import dcmread
from pydicom.data import get_testdata_file
from viewer import Viewer, opened

from ohif_dist import requires_ohif
from orthanc_process import OrthancProcess

pytestmark = [pytest.mark.browser, pytest.mark.orthanc, requires_ohif]

Screenshot = Callable[[Viewer, str], None]
#: The bytes behind a blob: address, which only the page itself can read.
_BLOB = """async address => {
  const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
}"""


@pytest.fixture
def viewer(browser_context: BrowserContext, door: str) -> Iterator[Viewer]:
    with opened(browser_context, door) as viewer:
        yield viewer


@pytest.fixture
def asked(viewer: Viewer) -> list[Request]:
    """The requests for DICOM, as they come."""
    seen: list[Request] = []
    viewer.page.on("request", lambda r: seen.append(r) if "/dicom-web/" in r.url else None)
    return seen


def _shows(picture: np.ndarray, instance_number: int, slices: int) -> bool:
    """Whether that slice of the phantom is on a picture of its size, through its window."""
    hounsfield = phantom.axial_slice(instance_number, slices).astype(float)
    expected = np.clip((hounsfield - 40 + 200) / 400, 0, 1) * 255
    return picture.shape == expected.shape and float(np.abs(picture - expected).mean()) < 3


def _share(viewer: Viewer, colour: list[int]) -> float:
    """How much of the screen has that colour, 0 to 1."""
    picture = Image.open(io.BytesIO(viewer.page.screenshot())).convert("RGB")
    apart = np.abs(np.asarray(picture).astype(int) - colour).max(axis=-1)
    return float((apart <= 8).mean())


def test_thumbnails_are_drawn_by_the_server(
    viewer: Viewer, asked: list[Request], screenshot: Screenshot
) -> None:
    viewer.open_study(phantom.study_uid(1))
    expect(viewer.thumbnails()).to_have_count(2)
    many, few = viewer.pictures()
    assert any(_shows(many, number, 200) for number in range(95, 106)), "of the middle"
    assert any(_shows(few, number, 12) for number in range(5, 9)), "of the middle"
    screenshot(viewer, "thumbnails")

    thumbnails = [request for request in asked if "/thumbnail" in request.url]
    assert {request.headers["accept"] for request in thumbnails} == {"image/jpeg"}
    assert {urlsplit(request.url).query for request in thumbnails} == {"viewport=256%2C256"}
    second = f"/series/{phantom.study_uid(1)}.2/"
    assert [r.url for r in asked if second in r.url and "/frames/" in r.url] == []


@pytest.mark.parametrize("door", ["full"], indirect=True)
def test_a_look_from_the_list_costs_the_pacs_one_instance_of_each_series(
    viewer: Viewer, gateway: OrthancProcess, screenshot: Screenshot
) -> None:
    viewer.open_list()
    viewer.select_in_list("Phantom, Unopened")
    pictures = viewer.page.locator('img[src^="blob:"]')
    expect(pictures).to_have_count(2)
    viewer.wait_until("both drawn", lambda: viewer.widths(pictures) == [256, 256])
    screenshot(viewer, "list-with-thumbnails")

    def held() -> int:
        studies = gateway.json("/studies?expand")
        (study,) = [s for s in studies if s["MainDicomTags"]["StudyInstanceUID"] == uid]
        return sum(len(gateway.json(f"/series/{one}/instances")) for one in study["Series"])

    uid = phantom.study_uid(2)
    viewer.wait_until("stored", lambda: held() >= 2)
    assert held() == 2


def test_a_document(viewer: Viewer, screenshot: Screenshot) -> None:
    viewer.open_study(phantom.study_uid(3))
    shown = viewer.page.locator('[type="application/pdf"]')
    expect(shown).to_be_visible()
    address = shown.get_attribute("data") or shown.get_attribute("src")
    document = base64.b64decode(viewer.page.evaluate(_BLOB, address))
    assert document.rstrip(b"\0") == phantom.green_page()

    viewer.wait_until("much of the screen is green", lambda: _share(viewer, [0, 153, 0]) > 0.15)
    screenshot(viewer, "document")


def test_an_ecg(viewer: Viewer, asked: list[Request], screenshot: Screenshot) -> None:
    ecg = dcmread(str(get_testdata_file("waveform_ecg.dcm")))
    viewer.open_study(ecg.StudyInstanceUID)
    viewer.wait_until("samples asked for", lambda: any("/bulkdata/" in r.url for r in asked))
    (samples,) = [request for request in asked if "/bulkdata/" in request.url]
    answer = samples.response()
    assert answer is not None
    assert answer.body() == ecg.WaveformSequence[0].WaveformData
    yellow, white = [255, 255, 0], [255, 255, 255]
    viewer.wait_until("leads are named", lambda: _share(viewer, yellow) > 0.0004)
    assert _share(viewer, white) > 0.0015, "the traces"
    screenshot(viewer, "ecg")
