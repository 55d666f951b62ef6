"""Several PACS, PACS with few encodings, and settings that can't be."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from pydicom.encaps import encapsulate

from fakes.listing_pacs import listing_pacs
from free_ports import free_port
from orthanc_process import OrthancProcess, gateway_configuration, requires_orthanc
from pacs_peers import dcmqrscp, requires_dcmtk, storescp
from sending_on import data_set, listed, modality, new_studies, onward, study_of, uids
from stowing import new_study, part10, stored_files, uid_of

pytestmark = requires_orthanc
RLE, IMPLICIT = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2"


def test_two_of_which_one_is_down(tmp_path: Path) -> None:
    """The other has it; it is data until both do, also while one is no PACS any more."""
    down = OrthancProcess(tmp_path / "down", {"DicomAet": "DOWN"})
    with (
        listing_pacs() as up,
        onward(
            tmp_path / "gateway",
            {"up": modality(up.port, "UP"), "down": modality(down.dicom_port, "DOWN")},
        ) as gateway,
    ):
        first, second = new_studies(2, 3)
        gateway.stow(first)
        gateway.wait_until_settled("up")
        assert [up.of(uid_of(file)) for file in first] == [[data_set(file)] for file in first]
        assert gateway.counts("down") == (3, 0, 0)
        url = f"/farsight/cache/studies/{study_of(first[0])}"
        assert requests.delete(gateway.doors[0] + url, timeout=60).status_code == 409

        configuration = gateway.process.configuration
        section, modalities = configuration["Farsight"], configuration["DicomModalities"]
        section["Stow"]["ForwardTo"], taken_out = ["up"], modalities.pop("down")
        del section["Pacs"]["down"]
        gateway.restart()
        assert gateway.counts("down") == (3, 0, 0)
        assert gateway.standing("down")["state"] == "no PACS any more"
        assert "'down', which is no PACS any more" in gateway.log()
        page = requests.get(f"{gateway.doors[0]}/farsight/", timeout=60).text
        assert "<td>down</td><td>3</td>" in page
        assert "no PACS any more" in page
        gateway.stow(second)
        gateway.wait_until_settled("up")
        assert requests.delete(gateway.doors[0] + url, timeout=60).status_code == 409

        modalities["down"], section["Pacs"]["down"] = taken_out, {}
        section["Stow"]["ForwardTo"] = ["up", "down"]
        gateway.restart(kill=True)
        assert gateway.counts("down") == (3, 0, 0)
        down.start()
        try:
            gateway.wait_until_settled("down")
            gateway.wait_until_settled("up")
            assert listed(down.dicom_port, first) == uids(first)
            (stored,) = stored_files(down, uid_of(first[0]))
            assert data_set(stored) == data_set(first[0])
        finally:
            down.stop()
        assert [len(up.of(uid_of(file))) for file in first + second] == [1] * 6
        assert requests.delete(gateway.doors[0] + url, timeout=60).status_code == 200
        gateway.assert_tells_nothing_of_patients()


def _compressed() -> bytes:
    """A slice in RLE, as a client may store it."""
    (image,) = new_study(size=64)
    image.compress(RLE, generate_instance_uid=False)
    return part10(image)


def _pixels(file: bytes) -> bytes:
    return bytes(pydicom.dcmread(BytesIO(file)).pixel_array.tobytes())


def _encapsulated() -> bytes:
    """One that nobody can decompress."""
    (image,) = new_study()
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    image.PixelData = encapsulate([b"\xff\xd8 no picture at all \xff\xd9"])
    image["PixelData"].is_undefined_length = True
    image["PixelData"].VR = "OB"
    return part10(image)


#: What a receiver of DCMTK takes, and in what it gets what is stored in RLE.
RECEIVERS = {
    "all": (["--fork", "+xa"], RLE),
    "explicit": (["--fork", "+xe"], "1.2.840.10008.1.2.1"),
    "implicit": (["--fork", "+xi"], IMPLICIT),
}


@requires_dcmtk
def test_encodings_of_receivers(tmp_path: Path) -> None:
    """As stored where that is taken; else decompressed, with the same pixels. These list nothing:
    it is data for ever."""
    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(storescp(tmp_path / name, options)).port
            for name, (options, _) in RECEIVERS.items()
        }
        gateway = stack.enter_context(
            onward(
                tmp_path / "gateway",
                {name: modality(port, name.upper()) for name, port in ports.items()},
            )
        )
        compressed, unreadable, (plain,) = _compressed(), _encapsulated(), new_studies(1, 1)[0]
        gateway.stow([compressed, unreadable, plain])
        for name, (_, syntax) in RECEIVERS.items():
            gateway.wait_for(0, 3 if name == "all" else 2, 0 if name == "all" else 1, name)
            taken = [path.read_bytes() for path in (tmp_path / name / "taken").iterdir()]
            got = {uid_of(file): file for file in taken}
            found = pydicom.dcmread(BytesIO(got[uid_of(compressed)]))
            assert found.file_meta.TransferSyntaxUID == syntax
            assert _pixels(got[uid_of(compressed)]) == _pixels(compressed)
            assert _pixels(got[uid_of(plain)]) == _pixels(plain)
            if name != "implicit":
                assert data_set(got[uid_of(plain)]) == data_set(plain)
            if name == "all":
                assert [data_set(got[uid_of(f)]) for f in (compressed, unreadable)] == [
                    data_set(compressed),
                    data_set(unreadable),
                ]
        dead = gateway.parcels("dead")
        assert {one["instance"] for one in dead} == {uid_of(unreadable)}
        assert sorted(one["destination"] for one in dead) == ["explicit", "implicit"]
        assert all("can't be sent" in one["error"] for one in dead)
        assert gateway.unconfirmed() == 3


@requires_dcmtk
def test_an_archive_that_takes_implicit_only(tmp_path: Path) -> None:
    """And that is known to keep it."""
    with (
        dcmqrscp(tmp_path / "pacs", [], options=["+xi"]) as pacs,
        onward(tmp_path / "gateway", {"pacs": modality(pacs.port)}) as gateway,
    ):
        compressed = _compressed()
        gateway.stow([compressed])
        gateway.wait_until_settled()
        assert gateway.unconfirmed() == 0
        (path,) = [
            path for path in (tmp_path / "pacs" / "db").iterdir() if path.suffix == ".dcm"
        ] or [path for path in (tmp_path / "pacs" / "db").iterdir() if path.name.startswith("CT")]
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == IMPLICIT
        assert _pixels(path.read_bytes()) == _pixels(compressed)


REFUSED = [
    ({"Stow": {"ForwardTo": ["pcas"]}}, {}, "Farsight.Stow.ForwardTo is 'pcas': must be a PACS"),
    ({"Stow": {"Duplicates": "replace"}}, {}, '"replace" needs Orthanc\'s "OverwriteInstances"'),
    ({}, {"MaximumStorageSize": 100}, "makes Orthanc delete whole patients"),
    ({}, {"MaximumPatientCount": 5}, "use Farsight.Cache.MaxMegabytes"),
    ({"Pacs": {"pacs": {"ConfirmBy": "hope"}}}, {}, "must be one of auto, commitment, find"),
    ({"Outbox": {"Attempts": 0}}, {}, "Farsight.Outbox.Attempts"),
]


@pytest.mark.parametrize(("farsight", "orthanc", "says"), REFUSED)
def test_settings_that_cannot_be(
    farsight: dict[str, Any], orthanc: dict[str, Any], says: str, tmp_path: Path
) -> None:
    configuration = gateway_configuration(
        {"pacs": modality(free_port())}, {"Pacs": {"pacs": {}}, **farsight}, **orthanc
    )
    process = OrthancProcess(tmp_path, configuration)
    process.start(wait=False)
    try:
        assert not process.starts()
        assert says in process.log()
    finally:
        process.stop()
