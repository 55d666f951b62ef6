"""An answer that can't be finished never passes for a whole one, whichever door it leaves by."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.errors import InvalidDicomError
from pydicom.uid import JPEGLossless, RLELossless

from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import requires_dcmtk
from related_parts import related_parts
from sample_files import ct_slice, series_uid, study_uid, write_series

from .conftest import Site, StartSite

pytestmark = [requires_orthanc, requires_dcmtk]
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"
ANY = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
BY_DEFAULT = {"Accept": 'multipart/related; type="application/dicom"'}
DOORS = pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])


def _cached_on_disk_only(site: Site) -> list[str]:
    """Fetches the series, then forgets what is in memory; the instances in the order sent."""
    answer = requests.get(site.doors[0] + SERIES, headers=ANY, timeout=120)
    assert answer.status_code == 200
    uids = [
        str(dcmread(BytesIO(body), stop_before_pixels=True).SOPInstanceUID)
        for _, body in related_parts(answer)
    ]
    site.gateway.stop()
    site.gateway.start()
    return uids


def _lose(gateway: OrthancProcess, sop_instance_uid: str) -> None:
    """Removes the instance's file behind Orthanc's back, as a broken disk would."""
    wanted = re.compile(re.escape(sop_instance_uid.encode()) + rb"(?![0-9.])")
    files = [path for path in _stored_files(gateway) if wanted.search(path.read_bytes()[:2000])]
    assert files
    for path in files:
        path.unlink()


def _stored_files(gateway: OrthancProcess) -> list[Path]:
    found = (gateway.directory / "storage").rglob("*")
    return [path for path in found if path.is_file() and not path.name.startswith("index")]


@DOORS
@pytest.mark.parametrize("victim", [0, 1, -1])
def test_an_instance_that_cannot_be_read(
    start_site: StartSite, tmp_path: Path, door: int, victim: int
) -> None:
    site = start_site("dcmqrscp", write_series(tmp_path, 4))
    uids = _cached_on_disk_only(site)
    assert len(uids) == 4
    _lose(site.gateway, uids[victim])
    client = DICOMwebClient(site.doors[door] + "/dicom-web")
    with pytest.raises((requests.HTTPError, requests.exceptions.ChunkedEncodingError)):
        client.retrieve_series(study_uid(), series_uid())
    if victim == 0 or door == 1:  # nothing was sent yet: it can be said
        answer = requests.get(site.doors[door] + SERIES, headers=ANY, timeout=60)
        assert answer.status_code == 500
        assert uids[victim] in json.loads(answer.content)["error"]
    assert requests.get(f"{site.doors[door]}/farsight/status", timeout=60).status_code == 200


@DOORS
def test_an_instance_that_is_lost_while_a_long_answer_is_sent(
    start_site: StartSite, tmp_path: Path, door: int
) -> None:
    """Longer than what is put together beforehand: 120 MB."""
    site = start_site(
        "dcmqrscp",
        write_series(tmp_path, 60, size=1024),
        farsight={"Memory": {"MaxMegabytes": 16}},
        MaximumStorageCacheSize=1,
    )
    uids = _cached_on_disk_only(site)
    assert len(uids) == 60
    received = bytearray()
    answer = requests.get(site.doors[door] + SERIES, headers=ANY, stream=True, timeout=120)
    assert answer.status_code == 200
    try:
        for chunk in answer.iter_content(1 << 20):
            if not received:
                for uid in uids[30:50]:
                    _lose(site.gateway, uid)
            received += chunk
    except requests.exceptions.ChunkedEncodingError:
        assert len(received) < 60 * 2 * 1024 * 1024
        return
    # Where the SDK has no streams, no length can be announced: the last part is no object.
    assert "Content-Length" not in answer.headers
    assert door == 1
    assert not received.rstrip().endswith(b"--"), "the last delimiter is missing"
    last = bytes(received).rpartition(b"\r\n\r\n")[2]
    assert last.startswith(b"This is no DICOM object")
    with pytest.raises(InvalidDicomError):
        dcmread(BytesIO(last))


@DOORS
def test_clients_that_leave_in_the_middle_leave_nothing_behind(
    start_site: StartSite, tmp_path: Path, door: int
) -> None:
    """The plugin keeps whatever was in the frames of an exception that leaves a callback."""
    site = start_site(
        "dcmqrscp",
        write_series(tmp_path, 30, size=1024),
        farsight={"Memory": {"MaxMegabytes": 16}},
        MaximumStorageCacheSize=1,
    )
    _cached_on_disk_only(site)
    resident = [_after_clients_that_leave(site, door) for _ in range(5)]
    assert resident[-1] - resident[1] < 150, f"MB after each round: {resident}"


def _after_clients_that_leave(site: Site, door: int) -> float:
    """MB resident once eight clients have read the beginning of the answer and gone."""
    for _ in range(8):
        answer = requests.get(site.doors[door] + SERIES, headers=ANY, stream=True, timeout=120)
        assert answer.status_code == 200
        assert len(answer.raw.read(200)) == 200
        answer.close()
    status = Path(f"/proc/{site.gateway.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if "VmRSS" in line)


def test_transfer_syntaxes_that_hardly_anyone_has(start_site: StartSite, tmp_path: Path) -> None:
    """One object nobody can convert doesn't keep a study from those who take it as it is."""
    site = start_site("dcmqrscp", write_series(tmp_path, 1))
    syntaxes = [
        "1.2.840.10008.1.2.4.53",
        "1.2.840.10008.1.2.4.92",
        "1.2.840.10008.1.2.4.102.1",
        "1.2.826.0.1.3680043.8.498.7",
        JPEGLossless,
        RLELossless,
    ]
    for number, syntax in enumerate(syntaxes, start=1):
        image = ct_slice(number, study=7)
        image.file_meta.TransferSyntaxUID = syntax
        image.PixelData = encapsulate([b"a frame of nobody's codec"])
        image["PixelData"].is_undefined_length = True
        data = BytesIO()
        image.save_as(data, implicit_vr=False, little_endian=True)
        site.gateway.store(data.getvalue())
    for door in site.doors:
        for accept in (ANY, BY_DEFAULT):
            answer = requests.get(
                f"{door}/dicom-web/studies/{study_uid(7)}", headers=accept, timeout=60
            )
            assert answer.status_code == 200, answer.text
            types = {kind for kind, _ in related_parts(answer)}
            assert types == {f"application/dicom; transfer-syntax={uid}" for uid in syntaxes}
        named = {"Accept": f"{BY_DEFAULT['Accept']}; transfer-syntax=1.2.840.10008.1.2.1"}
        refused = requests.get(
            f"{door}/dicom-web/studies/{study_uid(7)}", headers=named, timeout=60
        )
        assert refused.status_code == 406
        client = DICOMwebClient(f"{door}/dicom-web")
        assert len(client.retrieve_study(study_uid(7))) == len(syntaxes)
