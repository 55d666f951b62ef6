"""Metadata from headers (PS3.4 Z), while the images of the series are still on their way."""

from __future__ import annotations

import math
from typing import Any

import requests

from fakes.scripted_pacs import ScriptedPacs, scripted_pacs, wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from sample_files import ct_slice, instance_uid, series_uid, study_uid

from .conftest import StartGateway

pytestmark = requires_orthanc
SLICES = 12


def _metadata(gateway: OrthancProcess, series: int) -> list[dict[str, Any]]:
    path = f"/dicom-web/studies/{study_uid()}/series/{series_uid(series)}/metadata"
    answer = requests.get(gateway.full_door_url + path, timeout=120)
    assert answer.status_code == 200, answer.text
    assert "Warning" not in answer.headers
    return list(answer.json())


def _landed(gateway: OrthancProcess) -> None:
    wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end of it")


def _asked(pacs: ScriptedPacs) -> int:
    return sum(asked.service == "headers" for asked in pacs.asked)


def test_metadata_comes_before_the_images(start_gateway: StartGateway) -> None:
    objects = [ct_slice(n, series=s) for s in (1, 2, 3) for n in range(1, SLICES + 1)]
    objects[2 * SLICES].add_new(0x60000010, "US", 8)  # of what else may be left out nobody can tell
    with scripted_pacs(objects, offers_headers=True) as pacs:
        gateway = start_gateway(pacs.port)
        assert len(_metadata(gateway, 1)) == SLICES  # the first teaches what is offered
        assert _asked(pacs) == 0
        _landed(gateway)

        pacs.script.pause_s = 0.5
        early = _metadata(gateway, 2)
        (flight,) = gateway.json("/farsight/retrieves")
        assert flight["received"] < SLICES, "they were still on their way"
        assert _asked(pacs) == 1
        assert [row["00080018"]["Value"] for row in early] == [
            [instance_uid(n, 2)] for n in range(1, SLICES + 1)
        ]
        frame = f"series/{series_uid(2)}/instances/{instance_uid(SLICES, 2)}/frames/1"
        url = f"{gateway.full_door_url}/dicom-web/studies/{study_uid()}/{frame}"
        assert requests.get(url, timeout=120).status_code == 200
        pacs.script.pause_s = 0
        _landed(gateway)
        assert _metadata(gateway, 2) == early, "element by element what the instances say"
        assert _asked(pacs) == 1
        uri = early[0]["7FE00010"]["BulkDataURI"]
        assert requests.get(uri, timeout=60).status_code == 200

        assert len(_metadata(gateway, 3)) == SLICES
        _landed(gateway)
        assert gateway.json("/statistics")["CountInstances"] == 3 * SLICES


def test_headers_that_do_not_all_come(start_gateway: StartGateway) -> None:
    """What the PACS leaves out of the headers isn't left out of the answer."""
    objects = [ct_slice(n, series=s) for s in (1, 2) for n in range(1, SLICES + 1)]
    with scripted_pacs(objects, offers_headers=True) as pacs:
        gateway = start_gateway(pacs.port)
        _metadata(gateway, 1)
        pacs.script.omits = {instance_uid(3, 2): 1}  # of one request, the headers' or the other
        assert len(_metadata(gateway, 2)) == SLICES
        assert _asked(pacs) == 1
        _landed(gateway)
        pacs.script.omits = {instance_uid(3, 2): math.inf}
        assert len(_metadata(gateway, 2)) == SLICES, "from here"
