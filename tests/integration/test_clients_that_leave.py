"""A client that closes its connection: the PACS is told to stop, and the association is kept."""

from __future__ import annotations

import socket

import requests

from fakes.scripted_pacs import scripted_pacs, wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from sample_files import ct_slice, instance_uid, series_uid, study_uid

from .conftest import StartGateway

pytestmark = requires_orthanc
SLICES = 40
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"


def ask_and_leave_after(gateway: OrthancProcess, instances: int) -> None:
    host, port = gateway.full_door_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        request = f"GET {SERIES}/metadata HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
        client.sendall(request.encode())
        wait_until(lambda: _received(gateway) >= instances, what="some instances")


def _received(gateway: OrthancProcess) -> int:
    return sum(flight["received"] for flight in gateway.json("/farsight/retrieves"))


def test_the_pacs_is_told_to_stop(start_gateway: StartGateway) -> None:
    objects = [ct_slice(number) for number in range(1, SLICES + 1)]
    with scripted_pacs(objects) as pacs:
        pacs.script.pause_s = 0.1
        gateway = start_gateway(pacs.port, pacs={"IdleTimeout": 60})
        ask_and_leave_after(gateway, 5)
        wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end of it")
        stored = len(gateway.json("/instances"))
        assert 5 <= stored < SLICES
        assert pacs.cancelled == 1
        made = pacs.connections_made

        pacs.script.pause_s = 0
        answer = requests.get(f"{gateway.full_door_url}{SERIES}/metadata", timeout=60)
        assert len(answer.json()) == SLICES
        assert "Warning" not in answer.headers
        missing = {instance_uid(number) for number in range(1, SLICES + 1)} - {
            asked for one in pacs.gets()[:1] for asked in one.sop_instance_uids
        }
        assert pacs.gets()[-1].sop_instance_uids < missing, "only the rest is asked for"
        assert pacs.connections_made == made, "the association is used again"
