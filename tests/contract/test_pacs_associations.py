"""Associations with a PACS: who we are, over TLS too; silence, giving up and giving way."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.scripted_pacs import ScriptedPacs, mute_listener, scripted_pacs
from farsight.adapters.circuit_breaker import BreakerLimits
from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_tls import client_context
from farsight.dimse.association import UserIdentity
from farsight.dimse.manners import Manners
from farsight.errors import PacsTimeout, PacsUnavailable, RetrieveInterrupted, SettingsError
from farsight.model import Level, ReceivedInstance
from fetching import CT, STUDY, fetched, pacs_at, two_series
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import dcmqrscp, requires_dcmtk
from sample_files import instance_uid, series_uid, study_uid, write_series


@pytest.fixture
def scripted() -> Iterator[ScriptedPacs]:
    with scripted_pacs(two_series()) as running:
        yield running


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


def test_a_kept_association_that_ends_in_the_same_moment(scripted: ScriptedPacs) -> None:
    scripted.script.ends_kept = True
    pacs = pacs_at(scripted.port)
    for _ in range(3):
        assert len(list(pacs.find(Level.STUDY, (STUDY,)))) == 1
    assert scripted.connections_made == 3
    pacs.close()


def test_an_echo_is_sent_again_where_its_association_had_ended(scripted: ScriptedPacs) -> None:
    scripted.script.ends_kept = True
    pacs = pacs_at(scripted.port)
    assert fetched(pacs)
    assert len(list(pacs.find(Level.STUDY, (STUDY,)))) == 1
    pacs.echo()
    assert scripted.connections_made == 2
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
