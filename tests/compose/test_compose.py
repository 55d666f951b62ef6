"""`docker-compose up --build`, as a user meets it: through the published ports.

The tests build on one another in the order they stand here.
"""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import pytest
from farsight_demo.generated import HEAD, THORAX, uid
from PIL import Image

from tests.compose.stack import Stack

pytestmark = pytest.mark.compose

FULL_DOOR, ORTHANC = 8043, 8042
STUDY = uid(HEAD.key)
SERIES = uid(HEAD.key, "2")
SLICES, SIDE = 24, 256
SERIES_PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}"


def test_both_services_become_healthy(stack: Stack) -> None:
    for name in ("pacs", "gateway"):
        container = stack.wait_healthy(name)
        assert container.exec_run(["id", "-un"]).output.decode().strip() == "orthanc"


@pytest.mark.parametrize("port", [FULL_DOOR, ORTHANC])
def test_studies_of_the_pacs_are_listed(stack: Stack, port: int) -> None:
    rows = stack.json(port, f"/dicom-web/studies?StudyInstanceUID={uid(THORAX.key)}")
    assert [row["0020000D"]["Value"] for row in rows] == [[uid(THORAX.key)]]
    assert rows[0]["00100010"]["Value"] == [{"Alphabetic": THORAX.patient_name}]
    assert rows[0]["00201208"]["Value"] == [240]


def test_a_series_is_fetched_from_the_pacs(stack: Stack) -> None:
    assert stack.json(ORTHANC, "/statistics")["CountInstances"] == 0
    instances = stack.json(FULL_DOOR, f"{SERIES_PATH}/metadata")
    assert sorted(row["00200013"]["Value"][0] for row in instances) == list(range(1, SLICES + 1))


def test_frames_have_the_pixels_that_were_generated(stack: Stack) -> None:
    path = f"{SERIES_PATH}/instances/{uid(SERIES, '12')}/frames/1"
    request = urllib.request.Request(
        stack.url(FULL_DOOR) + path,
        headers={"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        _, _, rest = answer.read().partition(b"\r\n\r\n")
    image = np.frombuffer(rest[: SIDE * SIDE * 2], "<u2").reshape(SIDE, SIDE)
    assert image[SIDE // 2, SIDE // 2 + 15] > 300  # the brain
    assert image[:8].max() < 150  # the air above it


def test_pictures_are_drawn_in_the_container(stack: Stack) -> None:
    """By worker processes of a user who isn't root, in the image's own Python."""
    request = urllib.request.Request(
        f"{stack.url(FULL_DOOR)}{SERIES_PATH}/thumbnail?viewport=64,64",
        headers={"Accept": "image/png"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        picture = Image.open(io.BytesIO(answer.read()))
    assert picture.size == (64, 64)
    darkest, brightest = picture.convert("L").getextrema()
    assert brightest - darkest > 100


def test_ohif_is_served(stack: Stack) -> None:
    viewer = f"{stack.url(FULL_DOOR)}/ohif/viewer?StudyInstanceUIDs={STUDY}"
    with urllib.request.urlopen(viewer, timeout=60) as answer:
        assert b"app-config.js" in answer.read()


def test_the_cache_outlives_a_restart_and_does_without_the_pacs(stack: Stack) -> None:
    before = stack.json(FULL_DOOR, f"{SERIES_PATH}/metadata")
    _wait_for_instances(stack, SLICES)
    stack.compose("stop", "pacs")
    stack.compose("restart", "gateway")
    stack.wait_healthy("gateway")
    after = stack.json(FULL_DOOR, f"{SERIES_PATH}/metadata")
    assert _by_uid(after) == _by_uid(before)


def test_a_pacs_that_is_down_is_an_error(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        stack.json(FULL_DOOR, f"/dicom-web/studies/{uid(THORAX.key)}/series/{uid('no')}/metadata")
    assert refused.value.code in (502, 503, 504)


def test_down_leaves_nothing(stack: Stack) -> None:
    stack.compose("down", "--volumes")
    assert stack.containers() == []


def _wait_for_instances(stack: Stack, count: int) -> None:
    """What was answered from memory is stored behind the answer."""
    deadline = time.monotonic() + 60
    while stack.json(ORTHANC, "/statistics")["CountInstances"] < count:
        assert time.monotonic() < deadline, "the series was not stored"
        time.sleep(0.2)


def _by_uid(instances: list[dict[str, Any]]) -> dict[str, object]:
    """Rows by SOPInstanceUID, without the address, whose port may change."""
    return {str(row["00080018"]): _without_urls(row) for row in instances}


def _without_urls(row: dict[str, Any]) -> dict[str, object]:
    return {
        tag: attribute
        for tag, attribute in row.items()
        if tag != "00081190" and "BulkDataURI" not in attribute
    }
