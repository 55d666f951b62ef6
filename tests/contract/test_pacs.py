"""The Pacs port against PACS that others wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydicom import dcmread

from farsight.adapters.association_pool import PoolLimits
from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.pacs_address import PacsAddress
from farsight.dicom.part10 import parse_object
from farsight.errors import PacsError, PacsRefusedService, PacsUnavailable
from farsight.model import IdentifierKey, Level, ReceivedInstance, SubOperations
from free_ports import free_port
from orthanc_process import requires_orthanc
from pacs_peers import PEERS, Peer, dcmqrscp, requires_dcmtk
from sample_files import instance_uid, series_uid, study_uid, write_series

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = IdentifierKey("0020000D", "UI", study_uid())
SERIES = IdentifierKey("0020000E", "UI", series_uid())


def _pacs(peer: Peer, **more: object) -> DimsePacs:
    return DimsePacs(
        PacsAddress(peer.kind, "PACS", "127.0.0.1", peer.port, "FARSIGHT", **more)  # type: ignore[arg-type]
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("dcmqrscp", marks=requires_dcmtk),
        pytest.param("orthanc", marks=requires_orthanc),
        "qrscp",
    ],
)
def peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp(request.param)
    files = write_series(directory / "files", 5)
    files += write_series(directory / "files", 3, series=2)
    files += write_series(directory / "files", 2, study=2)
    with PEERS[request.param](directory / "pacs", files) as running:
        yield running


@pytest.fixture
def pacs(peer: Peer) -> Iterator[DimsePacs]:
    pacs = _pacs(peer)
    yield pacs
    pacs.close()


def test_echo(pacs: DimsePacs) -> None:
    pacs.echo()


def test_find_studies_in_utf_8(pacs: DimsePacs) -> None:
    keys = [STUDY, IdentifierKey("00100010", "PN"), IdentifierKey("00080020", "DA")]
    rows = list(pacs.find(Level.STUDY, keys))  # qrscp sends one per instance; searches join them
    assert {row["0020000D"]["Value"][0] for row in rows} == {study_uid()}
    row = rows[0]
    assert row["0020000D"]["Value"] == [study_uid()]
    assert row["00100010"]["Value"][0]["Alphabetic"] == "Muster^Jürgen1"
    assert row["00080020"]["Value"] == ["20200101"]


def test_find_all_and_nothing(pacs: DimsePacs) -> None:
    rows = list(pacs.find(Level.STUDY, [IdentifierKey("0020000D", "UI")]))
    assert {row["0020000D"]["Value"][0] for row in rows} == {study_uid(1), study_uid(2)}
    assert list(pacs.find(Level.STUDY, [IdentifierKey("0020000D", "UI", "1.2.3")])) == []


def test_find_stops_after_enough_and_the_association_is_kept(pacs: DimsePacs) -> None:
    keys = [STUDY, SERIES, IdentifierKey("00080018", "UI")]
    assert len(list(pacs.find(Level.IMAGE, keys, max_rows=2))) == 2
    assert len(list(pacs.find(Level.IMAGE, keys))) == 5
    assert pacs.open_associations <= 1


def _retrieved(pacs: DimsePacs, *instances: str, classes: tuple[str, ...] = (CT,)) -> dict:
    got: dict[str, ReceivedInstance] = {}
    pacs.retrieve(
        study_uid(),
        series_uid(),
        instances,
        classes,
        lambda received: got.__setitem__(received.sop_instance_uid, received),
    )
    return got


def test_retrieve_a_series_by_c_get(pacs: DimsePacs, peer: Peer) -> None:
    got = _retrieved(pacs)
    assert set(got) == {instance_uid(number) for number in range(1, 6)}
    for uid, received in got.items():
        parsed = parse_object(received.part10)
        assert parsed.sop_instance_uid == uid
        assert parsed.series_instance_uid == series_uid()
        assert received.transfer_syntax_uid == parsed.transfer_syntax_uid


def test_a_pacs_tells_how_far_it_is(pacs: DimsePacs) -> None:
    told: list[SubOperations] = []
    outcome = pacs.retrieve(
        study_uid(), series_uid(), (), (CT,), lambda _received: None, told=told.append
    )
    assert (outcome.completed, outcome.failed, outcome.remaining) == (5, 0, None)
    remaining = [said.remaining for said in told if said.remaining is not None]
    assert remaining, "each of these peers sends pending responses"
    assert remaining == sorted(remaining, reverse=True)
    assert all(said.completed + (said.remaining or 0) in (4, 5) for said in told)


def test_retrieve_one_instance(pacs: DimsePacs) -> None:
    assert set(_retrieved(pacs, instance_uid(4))) == {instance_uid(4)}


def test_one_association_serves_for_all(pacs: DimsePacs) -> None:
    _retrieved(pacs, instance_uid(4))
    pacs.echo()
    assert list(pacs.find(Level.STUDY, (STUDY,)))
    _retrieved(pacs, instance_uid(3))
    assert pacs.open_associations == 1


def test_retrieve_with_unknown_classes(pacs: DimsePacs) -> None:
    assert len(_retrieved(pacs, classes=())) == 5


def test_pixels_survive(pacs: DimsePacs) -> None:
    from io import BytesIO

    got = _retrieved(pacs, instance_uid(2))
    image = dcmread(BytesIO(got[instance_uid(2)].part10))
    assert image.pixel_array[0, 0] == 2
    assert image.file_meta.MediaStorageSOPInstanceUID == instance_uid(2)


def test_wrong_called_ae_title_is_refused(peer: Peer) -> None:
    if peer.kind == "orthanc":
        pytest.skip("Orthanc accepts any called AE title unless told otherwise")
    pacs = DimsePacs(PacsAddress("x", "NOBODY", "127.0.0.1", peer.port, "FARSIGHT"))
    if peer.kind == "qrscp":
        pytest.skip("qrscp accepts any called AE title")
    with pytest.raises(PacsUnavailable, match=r"'x'.*called AE title not recognized"):
        pacs.echo()


def test_nobody_listens() -> None:
    pacs = DimsePacs(PacsAddress("gone", "PACS", "127.0.0.1", free_port(), "FARSIGHT"))
    with pytest.raises(PacsUnavailable, match="'gone'"):
        list(pacs.find(Level.STUDY, [STUDY]))
    assert pacs.open_associations == 0


def test_abandoned_find_and_failing_sink_leak_nothing(peer: Peer) -> None:
    pacs = _pacs(peer, limits=PoolLimits(max_associations=1, wait_s=5))
    rows = pacs.find(Level.IMAGE, [STUDY, SERIES, IdentifierKey("00080018", "UI")])
    next(rows)
    rows.close()  # type: ignore[attr-defined]

    def fail(received: ReceivedInstance) -> None:
        raise PacsError("x", "stop")

    with pytest.raises(PacsError, match="stop"):
        pacs.retrieve(study_uid(), series_uid(), (), (CT,), fail)
    assert len(_retrieved(pacs)) == 5
    pacs.close()
    assert pacs.open_associations == 0


@requires_dcmtk
def test_pacs_killed_between_requests_is_tried_afresh(tmp_path) -> None:  # type: ignore[no-untyped-def]
    files = write_series(tmp_path / "files", 2)
    with dcmqrscp(tmp_path / "pacs", files) as peer:
        pacs = _pacs(peer, timeouts=Timeouts(2, 2, 2))
        assert len(list(pacs.find(Level.STUDY, [STUDY]))) == 1
        peer.kill()
    with pytest.raises(PacsUnavailable):
        list(pacs.find(Level.STUDY, [STUDY]))
    pacs.close()
    assert pacs.open_associations == 0


@requires_dcmtk
def test_get_refused_by_a_pacs_without_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    files = write_series(tmp_path / "files", 1)
    with dcmqrscp(tmp_path / "pacs", files, options=["--disable-get"]) as peer:
        pacs = _pacs(peer, retrieve="c-get")
        with pytest.raises(PacsRefusedService, match="C-GET is not offered"):
            pacs.retrieve(study_uid(), series_uid(), (), (CT,), lambda received: None)
        pacs.close()
