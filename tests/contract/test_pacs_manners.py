"""PACS that refuse this or that: what is tried instead, and what is remembered."""

from __future__ import annotations

import contextlib
import itertools
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.scripted_pacs import ScriptedPacs, mute_listener, scripted_pacs
from farsight.adapters.association_pool import PoolLimits
from farsight.adapters.circuit_breaker import BreakerLimits
from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.dimse_tls import client_context
from farsight.adapters.pacs_address import PacsAddress
from farsight.dimse.association import UserIdentity
from farsight.dimse.manners import Manners
from farsight.errors import (
    ArchiveFull,
    PacsFailure,
    PacsTimeout,
    PacsUnavailable,
    RetrieveInterrupted,
    SettingsError,
)
from farsight.model import IdentifierKey, Level, ReceivedInstance, SubOperations
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import PEERS, dcmqrscp, requires_dcmtk
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = IdentifierKey("0020000D", "UI", study_uid())
THREE = tuple(instance_uid(number) for number in (1, 3, 5))


def pacs_at(port: int, learned: list[Manners] | None = None, **more: object) -> DimsePacs:
    address = PacsAddress("pacs", "PACS", "127.0.0.1", port, "FARSIGHT", **more)  # type: ignore[arg-type]
    return DimsePacs(address, [].append if learned is None else learned.append)


def fetched(pacs: DimsePacs, uids: tuple[str, ...] = (), series: str = series_uid()) -> set[str]:
    got: list[ReceivedInstance] = []
    pacs.retrieve(study_uid(), series, uids, (CT,), got.append)
    return {one.sop_instance_uid for one in got}


@pytest.fixture
def scripted() -> Iterator[ScriptedPacs]:
    objects = [ct_slice(number) for number in range(1, 7)]
    with scripted_pacs([*objects, ct_slice(1, series=2)]) as running:
        yield running


# ---- Patient root


@requires_dcmtk
@pytest.mark.parametrize("retrieve", ["c-get"])
def test_patient_root_only(tmp_path: Path, retrieve: str) -> None:
    files = write_series(tmp_path / "files", 5) + write_series(tmp_path / "files", 2, study=2)
    with dcmqrscp(tmp_path / "pacs", files, options=["--no-study-root"]) as peer:
        pacs = pacs_at(peer.port, retrieve=retrieve)
        keys = (IdentifierKey("0020000D", "UI"), IdentifierKey("00100010", "PN"))
        studies = {row["0020000D"]["Value"][0] for row in pacs.find(Level.STUDY, keys)}
        assert studies == {study_uid(1), study_uid(2)}
        named = (IdentifierKey("00100020", "LO", "PAT2"), IdentifierKey("0020000D", "UI"))
        assert [row["0020000D"]["Value"] for row in pacs.find(Level.STUDY, named)] == [
            [study_uid(2)]
        ]
        assert fetched(pacs, THREE) == set(THREE)
        pacs.close()


@requires_dcmtk
def test_patient_root_finds_the_patient_for_itself(tmp_path: Path) -> None:
    with dcmqrscp(
        tmp_path / "pacs", write_series(tmp_path / "files", 5), options=["--no-study-root"]
    ) as peer:
        pacs = pacs_at(peer.port)
        assert len(fetched(pacs)) == 5
        series = (STUDY, IdentifierKey("0020000E", "UI"))
        assert len(list(pacs.find(Level.SERIES, series))) == 1
        pacs.close()


@requires_dcmtk
def test_a_study_given_to_another_patient_is_found_again(tmp_path: Path) -> None:
    with dcmqrscp(
        tmp_path / "pacs", write_series(tmp_path / "files", 2), options=["--no-study-root"]
    ) as peer:
        pacs = pacs_at(peer.port)
        before = {"0020000D": {"Value": [study_uid()]}, "00100020": {"Value": ["MERGED"]}}
        pacs._patient_ids.note(before)
        series = (STUDY, IdentifierKey("0020000E", "UI"))
        assert len(list(pacs.find(Level.SERIES, series))) == 1
        other = (STUDY, IdentifierKey("0020000E", "UI", "1.2.3"))
        assert list(pacs.find(Level.SERIES, other)) == [], "of that patient, and not there"
        pacs.close()


@requires_dcmtk
def test_a_patient_id_beyond_ascii_in_the_patient_root(tmp_path: Path) -> None:
    image = ct_slice(1)
    image.PatientID = "Größe-7"
    image.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    options = ["--no-study-root"]
    with dcmqrscp(tmp_path / "pacs", [tmp_path / "one.dcm"], options=options) as peer:
        pacs = pacs_at(peer.port, retrieve="c-get")
        assert fetched(pacs) == {instance_uid(1)}
        pacs.close()


# ---- identifiers


def test_lists_of_uids_are_split_where_they_fail(tmp_path: Path) -> None:
    with PEERS["qrscp"](tmp_path / "pacs", write_series(tmp_path / "files", 6)) as peer:
        pacs = pacs_at(peer.port)
        assert fetched(pacs, THREE) >= set(THREE)
        pacs.close()


def test_lists_refused_are_remembered(scripted: ScriptedPacs) -> None:
    scripted.script.refuses_uid_lists = 0xA900
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned)
    assert fetched(pacs, THREE) == set(THREE)
    assert learned == [Manners(uid_lists=False)]
    before = len(scripted.gets())
    assert fetched(pacs, THREE) == set(THREE)
    assert [len(asked.sop_instance_uids) for asked in scripted.gets()[before:]] == [1, 1, 1]
    pacs.close()


@pytest.mark.parametrize(
    ("refused", "finest", "brings"),
    [
        ({"IMAGE"}, Level.SERIES, {instance_uid(number) for number in range(1, 7)}),
        (
            {"IMAGE", "SERIES"},
            Level.STUDY,
            {instance_uid(number) for number in range(1, 7)} | {instance_uid(1, series=2)},
        ),
    ],
)
def test_levels_refused_are_remembered(
    scripted: ScriptedPacs, refused: set[str], finest: Level, brings: set[str]
) -> None:
    scripted.script.refuses_levels = dict.fromkeys(refused, 0xA900)
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned)
    assert fetched(pacs, (instance_uid(3),)) == brings
    assert learned == [Manners(finest_level=finest)]
    before = len(scripted.gets())
    fetched(pacs, (instance_uid(3),))
    assert [asked.level for asked in scripted.gets()[before:]] == [finest.value]
    pacs.close()


def test_one_failure_teaches_nothing(scripted: ScriptedPacs) -> None:
    scripted.script.refuses_levels = {"IMAGE": 0xC001}
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned)
    assert instance_uid(3) in fetched(pacs, (instance_uid(3),))
    assert learned == []
    pacs.close()


@requires_orthanc
def test_an_answer_cut_short_by_the_pacs_is_no_answer(tmp_path: Path) -> None:
    process = OrthancProcess(
        tmp_path / "limited",
        {
            "DicomAet": "PACS",
            "LimitFindInstances": 3,
            "DicomModalities": {"farsight": ["FARSIGHT", "127.0.0.1", 1]},
        },
    )
    process.start()
    try:
        for file in write_series(tmp_path / "files", 6):
            process.store(file.read_bytes())
        pacs = pacs_at(process.dicom_port)
        keys = (
            STUDY,
            IdentifierKey("0020000E", "UI", series_uid()),
            IdentifierKey("00080018", "UI"),
        )
        rows = []
        with contextlib.suppress(PacsFailure):
            rows = list(pacs.find(Level.IMAGE, keys))
        assert len(rows) in (0, 6), "later ones have no limit below a study"
        assert len(list(pacs.find(Level.IMAGE, keys, max_rows=2))) == 2
        pacs.close()
    finally:
        process.stop()


# ---- associations


@requires_dcmtk
def test_the_limit_of_the_pacs_is_learned(tmp_path: Path) -> None:
    files = write_series(tmp_path / "files", 3)
    learned: list[Manners] = []
    with dcmqrscp(tmp_path / "pacs", files, max_associations=2) as peer:
        pacs = pacs_at(peer.port, learned, limits=PoolLimits(max_associations=8))
        start = threading.Barrier(8)
        counts: list[int] = []

        def search() -> None:
            start.wait()
            keys = (STUDY, IdentifierKey("0020000E", "UI"))
            for _ in range(5):
                counts.append(len(list(pacs.find(Level.SERIES, keys))))

        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert counts == [1] * 40
        assert learned[-1].max_associations <= 2
        pacs.close()


def test_adopted_manners_count(scripted: ScriptedPacs) -> None:
    pacs = pacs_at(scripted.port)
    pacs.adopt(Manners(uid_lists=False, finest_level=Level.SERIES))
    fetched(pacs, THREE)
    assert [asked.level for asked in scripted.gets()] == ["SERIES"]
    pacs.close()


def test_silence_is_waited_for_twice_only() -> None:
    with mute_listener() as port:
        pacs = pacs_at(
            port, timeouts=Timeouts(acse_s=0.3), breaker=BreakerLimits(threshold=2, open_s=600)
        )
        for _ in range(2):
            with pytest.raises(PacsTimeout, match="did not come within"):
                pacs.echo()
        with pytest.raises(PacsTimeout, match="did not answer 2 times in a row"):
            pacs.echo()
        pacs.close()


def test_who_we_are_is_told(scripted: ScriptedPacs) -> None:
    pacs = pacs_at(scripted.port, user_identity=UserIdentity("farsight", "sesame"))
    pacs.echo()
    assert scripted.identities == [("farsight", "sesame")]
    pacs.close()


# ---- abandoning


def test_an_abandoned_get_is_cancelled_and_its_association_used_again(
    scripted: ScriptedPacs,
) -> None:
    pacs = pacs_at(scripted.port)
    got: list[str] = []

    def take(received: ReceivedInstance) -> None:
        got.append(received.sop_instance_uid)
        if len(got) == 2:
            raise PacsTimeout("pacs", "enough")

    with pytest.raises(PacsTimeout, match="enough"):
        pacs.retrieve(study_uid(), series_uid(), (), (CT,), take)
    assert len(got) == 2
    assert scripted.wait_for_connections(1)
    assert len(fetched(pacs)) == 6
    assert scripted.connections_made == 1
    pacs.close()


# ---- right of way


@requires_dcmtk
def test_a_pacs_that_serves_one_retrieve_at_a_time(tmp_path: Path) -> None:
    """dcmqrscp locks its index for as long as a C-GET lasts."""
    files = write_series(tmp_path / "files", 40) + write_series(tmp_path / "files", 3, series=2)
    learned: list[Manners] = []
    with dcmqrscp(tmp_path / "pacs", files) as peer:
        pacs = pacs_at(peer.port, learned)
        got: list[str] = []
        under_way, over = threading.Event(), threading.Event()

        def take(received: ReceivedInstance) -> None:
            got.append(received.sop_instance_uid)
            if len(got) == 5:
                under_way.set()
                over.wait(5)  # until the urgent one waits, or for good if nobody gives way

        def bulk() -> None:
            with pytest.raises(RetrieveInterrupted):
                pacs.retrieve(study_uid(), series_uid(), (), (CT,), take)

        thread = threading.Thread(target=bulk)
        thread.start()
        assert under_way.wait(10)
        urgent: list[ReceivedInstance] = []
        uids = (instance_uid(2, series=2),)
        threading.Timer(0.3, over.set).start()
        pacs.retrieve(study_uid(), series_uid(2), uids, (CT,), urgent.append, urgent=True)
        thread.join(10)
        assert [one.sop_instance_uid for one in urgent] == list(uids)
        assert 5 <= len(got) < 40, "the bulk gave way"
        assert learned == [], "once may be chance"
        assert len(fetched(pacs)) == 40
        pacs.close()


@requires_dcmtk
def test_cancelling_leaves_the_association_in_order(tmp_path: Path) -> None:
    with dcmqrscp(tmp_path / "pacs", write_series(tmp_path / "files", 30)) as peer:
        pacs = pacs_at(peer.port)
        for stop_after in (1, 2, 7, 29, 30):
            got: list[str] = []

            def take(
                received: ReceivedInstance, got: list[str] = got, most: int = stop_after
            ) -> None:
                got.append(received.sop_instance_uid)
                if len(got) == most:
                    raise PacsTimeout("pacs", "enough")

            with pytest.raises(PacsTimeout, match="enough"):
                pacs.retrieve(study_uid(), series_uid(), (), (CT,), take)
            assert len(got) == stop_after
            assert pacs.open_associations == 1
            assert len(fetched(pacs)) == 30
        pacs.close()


# ---- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    for name in ("pacs", "gateway", "stranger"):
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.crt"),
                "-subj", f"/CN={name}",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
    return directory


@pytest.fixture
def tls_pacs(tmp_path: Path, certificates: Path) -> Iterator[OrthancProcess]:
    process = OrthancProcess(
        tmp_path / "tls",
        {
            "DicomAet": "PACS",
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(certificates / "pacs.crt"),
            "DicomTlsPrivateKey": str(certificates / "pacs.key"),
            "DicomTlsTrustedCertificates": str(certificates / "gateway.crt"),
            "DicomModalities": {"farsight": ["FARSIGHT", "127.0.0.1", 1]},
        },
    )
    process.start()
    try:
        for file in write_series(tmp_path / "files", 4):
            process.store(file.read_bytes())
        yield process
    finally:
        process.stop()


def context_of(certificates: Path, trusted: str, own: str) -> ssl.SSLContext:
    return client_context(
        certificates / f"{trusted}.crt", certificates / f"{own}.crt", certificates / f"{own}.key"
    )


@requires_orthanc
def test_over_tls(tls_pacs: OrthancProcess, certificates: Path) -> None:
    pacs = pacs_at(tls_pacs.dicom_port, tls=context_of(certificates, "pacs", "gateway"))
    pacs.echo()
    assert len(fetched(pacs)) == 4
    pacs.close()


@requires_orthanc
@pytest.mark.parametrize(("trusted", "own"), [("stranger", "gateway"), ("pacs", "stranger")])
def test_strangers_are_refused(
    tls_pacs: OrthancProcess, certificates: Path, trusted: str, own: str
) -> None:
    pacs = pacs_at(tls_pacs.dicom_port, tls=context_of(certificates, trusted, own))
    with pytest.raises(PacsUnavailable):
        pacs.echo()
    pacs.close()


def test_files_that_are_no_certificates(tmp_path: Path, certificates: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    with pytest.raises(SettingsError, match="DicomTlsTrustedCertificates"):
        client_context(junk, None, None)
    with pytest.raises(SettingsError, match="DicomTlsCertificate"):
        client_context(certificates / "pacs.crt", junk, junk)


def test_a_kept_association_that_ends_in_the_same_moment(scripted: ScriptedPacs) -> None:
    scripted.script.ends_kept = True
    pacs = pacs_at(scripted.port)
    for _ in range(3):
        assert len(list(pacs.find(Level.STUDY, (STUDY,)))) == 1
    assert scripted.connections_made == 3
    pacs.close()


# ---- C-MOVE: the instances arrive elsewhere


def moved(pacs: DimsePacs, arrivals: Callable[[], int]) -> SubOperations:
    def sink(received: ReceivedInstance) -> None:
        raise AssertionError("nothing comes this way")

    return pacs.retrieve(study_uid(), series_uid(), (), (CT,), sink, arrivals=arrivals)


def test_a_move_without_a_word_is_not_silent_while_instances_arrive(
    scripted: ScriptedPacs,
) -> None:
    scripted.script.moves_for_s = 3.5
    timeouts = Timeouts(dimse_s=1.5)
    counter = itertools.count()
    pacs = pacs_at(scripted.port, retrieve="c-move", timeouts=timeouts)
    assert moved(pacs, lambda: next(counter)).dimse_status == 0
    silent = pacs_at(scripted.port, retrieve="c-move", timeouts=timeouts)
    with pytest.raises(PacsTimeout, match=r"did not come within 1\.5 s"):
        moved(silent, lambda: 7)


def test_a_move_that_nobody_wants_any_more_is_cancelled(scripted: ScriptedPacs) -> None:
    scripted.script.moves_for_s = 60
    calls = itertools.count()

    def arrivals() -> int:
        if next(calls) >= 3:
            raise ArchiveFull("no room")
        return 0

    pacs = pacs_at(scripted.port, retrieve="c-move")
    with pytest.raises(ArchiveFull):
        moved(pacs, arrivals)
    assert scripted.cancelled == 1
    scripted.script.moves_for_s = 0
    assert moved(pacs, lambda: 0).dimse_status == 0
    assert scripted.connections_made == 3, "one of ours; the PACS opened one per move"
    pacs.close()


def test_a_move_that_nobody_wants_before_it_is_asked_for(scripted: ScriptedPacs) -> None:
    """Nothing is under way then: there is nothing to cancel, and nothing to wait for."""
    calls = itertools.count()

    def arrivals() -> int:
        if next(calls) >= 1:
            raise ArchiveFull("no room")
        return 0

    pacs = pacs_at(scripted.port, retrieve="c-move", timeouts=Timeouts(dimse_s=600))
    with pytest.raises(ArchiveFull):
        moved(pacs, arrivals)
    assert (scripted.cancelled, scripted.asked) == (0, [])
    assert moved(pacs, lambda: 0).dimse_status == 0
    assert scripted.connections_made == 2, "one of ours, kept; the PACS opened one for the move"
    pacs.close()


def test_a_cancelled_move_of_a_pacs_that_does_not_listen(scripted: ScriptedPacs) -> None:
    scripted.script.silent_in = frozenset({"C-MOVE"})
    calls = itertools.count()

    def arrivals() -> int:
        if next(calls) >= 3:
            raise ArchiveFull("no room")
        return 0

    pacs = pacs_at(scripted.port, retrieve="c-move", timeouts=Timeouts(dimse_s=600))
    with pytest.raises(ArchiveFull):
        moved(pacs, arrivals)
    assert pacs.open_associations == 0


def test_moves_are_in_nobodys_way(scripted: ScriptedPacs) -> None:
    """What the PACS sends elsewhere can't pause for an urgent one, nor teach us anything."""
    scripted.script.moves_for_s = 1.0
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned, retrieve="c-move")
    counter = itertools.count()

    def bulk() -> None:
        for _ in range(3):
            assert moved(pacs, lambda: next(counter)).dimse_status == 0

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(bulk)
        for number in (1, 2, 3):
            urgent = pacs.retrieve(
                study_uid(), series_uid(), (instance_uid(number),), (CT,), print, urgent=True
            )
            assert urgent.dimse_status == 0
        running.result(60)
    assert learned == []
    assert scripted.cancelled == 0
    pacs.close()


def test_where_nothing_can_be_sent_on_the_association_it_is_moved(tmp_path: Path) -> None:
    """The PACS takes the C-GET, and no storage context: that may be so for these objects only."""
    learned: list[Manners] = []
    with scripted_pacs([ct_slice(1)], sends_nothing=True) as pacs:
        auto = pacs_at(pacs.port, learned)
        assert moved(auto, lambda: 0).dimse_status == 0
        assert [asked.service for asked in pacs.asked] == ["C-MOVE"]
        assert learned == []
        only_get = pacs_at(pacs.port, retrieve="c-get")
        with pytest.raises(PacsFailure, match="no storage context"):
            moved(only_get, lambda: 0)
