"""A PACS with studies, an Orthanc with Farsight in front of it, and a browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import phantom
import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright
from pydicom.data import get_testdata_file
from viewer import CHROMIUM_FLAGS, PATIENCE_MS, Viewer

from ohif_dist import ohif_dist
from orthanc_process import OrthancProcess, gateway_configuration, running_orthanc
from pacs_peers import AE_TITLE, orthanc_pacs

REAL_FILES = ("CT_small.dcm", "MR_small_jp2klossless.dcm", "waveform_ecg.dcm")
VIEWPORT = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def pacs_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What the PACS holds: a phantom of two series, another that is never opened, a document,
    and real files: two images, one of them JPEG 2000, and an ECG."""
    study = phantom.study_attributes(1, "Phantom^Thorax", "CT thorax", "20240229")
    other = phantom.study_attributes(2, "Phantom^Unopened", "CT chest", "20240301")
    images = [
        *phantom.ct_series(study, 1, "axial 2 mm", 200),
        *phantom.ct_series(study, 2, "axial 10 mm", 12),
        *phantom.ct_series(other, 1, "axial 5 mm", 20),
        *phantom.ct_series(other, 2, "axial 20 mm", 6),
        phantom.pdf_report(phantom.study_attributes(3, "Phantom^Report", "Report", "20240302")),
    ]
    directory = tmp_path_factory.mktemp("pacs-files")
    for number, image in enumerate(images):
        (directory / f"{number:04}.dcm").write_bytes(image)
    real = [get_testdata_file(name) for name in REAL_FILES]
    return [*sorted(directory.iterdir()), *(Path(str(path)) for path in real)]


@pytest.fixture(scope="session")
def gateway(
    pacs_files: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OrthancProcess]:
    """An empty Orthanc with Farsight and OHIF; every image is in the PACS behind it."""
    directory = tmp_path_factory.mktemp("e2e")
    with orthanc_pacs(directory / "pacs", pacs_files) as pacs:
        configuration = gateway_configuration(
            {"pacs": [AE_TITLE, "127.0.0.1", pacs.port]},
            {"Ohif": {"Directory": str(ohif_dist())}},
            AuthenticationEnabled=False,
        )
        with running_orthanc(directory / "gateway", configuration) as orthanc:
            yield orthanc


@pytest.fixture(scope="session", params=["orthanc", "full"])
def door(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    """The address of one of the two doors."""
    return gateway.url if request.param == "orthanc" else gateway.full_door_url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not Path(executable).exists():
        pytest.skip(f"no browser: {executable} is missing; set CHROMIUM")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, headless=True, args=list(CHROMIUM_FLAGS)
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """One profile for the run: as for a user, the second page comes from the browser's cache."""
    context = browser.new_context(viewport=VIEWPORT)
    yield context
    context.close()


@pytest.fixture
def screenshot(
    door: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Viewer, str], None]:
    """Saves what the page looks like: into E2E_SCREENSHOTS, or pytest's own directory."""
    configured = os.environ.get("E2E_SCREENSHOTS")
    directory = Path(configured) if configured else tmp_path_factory.mktemp("screenshots")
    directory.mkdir(parents=True, exist_ok=True)
    way = request.node.callspec.params["door"]

    def save(viewer: Viewer, name: str) -> None:
        viewer.page.screenshot(path=directory / f"{name}-{way}.png")

    return save
