"""A PACS that doesn't take or doesn't keep what it is sent: what waits, what follows, what dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import requests

from fakes.listing_pacs import ListingPacs, listing_pacs
from fakes.receiving_pacs import CT, EXPLICIT_LE
from fakes.scripted_pacs import wait_until
from fakes.taking import Taken
from orthanc_process import requires_orthanc
from pacs_peers import orthanc_pacs
from sending_on import Onward, data_set, listed, modality, new_studies, onward, study_of, uids
from stowing import new_study, part10, uid_of

pytestmark = requires_orthanc
ATTEMPTS = 3
MR = "1.2.840.10008.5.1.4.1.1.4"
#: What a PACS says may hold anything.
SAYS = "no place for Muster^Jürgen1 (PAT1, ACC1)"


@contextmanager
def _site(directory: Path, confirm_by: str = "auto") -> Iterator[tuple[Onward, ListingPacs]]:
    with (
        listing_pacs() as pacs,
        onward(
            directory,
            {"pacs": modality(pacs.port)},
            outbox={"Attempts": ATTEMPTS},
            pacs={"ConfirmBy": confirm_by},
        ) as gateway,
    ):
        yield gateway, pacs


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Onward, ListingPacs]]:
    with _site(tmp_path_factory.mktemp("refusals")) as running:
        yield running


@pytest.fixture
def site(pair: tuple[Onward, ListingPacs]) -> Iterator[tuple[Onward, ListingPacs]]:
    """Nothing is on its way before a test, and nothing is told of patients after it."""
    gateway, pacs = pair
    gateway.wait_until_settled()
    pacs.asked.clear()
    yield pair
    gateway.assert_tells_nothing_of_patients()
    pacs.script.statuses.clear()
    pacs.hides.clear()
    pacs.aborts_at.clear()
    gateway.order("retry", destination="pacs")
    gateway.wait_until_settled()


def _dead(gateway: Onward) -> dict[str, str]:
    """SOPInstanceUID -> why it was given up."""
    return {one["instance"]: one["error"] for one in gateway.parcels("dead")}


def _evicted(gateway: Onward, file: bytes) -> int:
    """The status of asking for that."""
    url = f"{gateway.doors[0]}/farsight/cache/studies/{study_of(file)}"
    return requests.delete(url, timeout=60).status_code


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0122, 0x0111, 0x0124])
def test_one_that_is_refused(site: tuple[Onward, ListingPacs], status: int) -> None:
    """Its study waits behind it until it is given up; others don't. It is sent when asked for."""
    gateway, pacs = site
    study, other = new_studies(2, 4)
    refused = uid_of(study[1])
    pacs.script.statuses[refused] = status, SAYS
    gateway.stow(study)
    gateway.stow(other)
    gateway.wait_for(0, 0, 1)
    asked = [uid for uid in pacs.asked if uid in uids(study)]
    first, _, third, fourth = map(uid_of, study)
    assert asked == [first, *[refused] * ATTEMPTS, third, fourth]
    last_refusal = len(pacs.asked) - pacs.asked[::-1].index(refused)
    assert set(uids(other)) & set(pacs.asked[:last_refusal]), "others went on meanwhile"
    assert f"0x{status:04X}" in _dead(gateway)[refused]
    assert _evicted(gateway, study[0]) == 409
    metrics = gateway.metrics()
    assert metrics['farsight_outbox_instances{pacs="pacs",stage="dead"}'] == 1
    assert metrics[f'farsight_outbox_failures_total{{pacs="pacs",what="0x{status:04X}"}}'] >= 3
    gateway.assert_tells_nothing_of_patients()

    pacs.script.statuses.clear()
    (parcel,) = gateway.parcels("dead")
    assert gateway.order("retry", parcels=[parcel["number"]]).json() == {"retried": 1}
    gateway.wait_until_settled()
    assert pacs.of(refused) == [data_set(study[1])]
    assert _evicted(gateway, study[0]) == 200


def test_one_that_is_discarded(site: tuple[Onward, ListingPacs]) -> None:
    """Never sent; and data for ever."""
    gateway, pacs = site
    ((file,),) = new_studies(1, 1)
    pacs.script.statuses[uid_of(file)] = 0xC000, SAYS
    gateway.stow([file])
    gateway.wait_for(0, 0, 1)
    (parcel,) = gateway.parcels("dead")
    assert (parcel["instance"], parcel["attempts"]) == (uid_of(file), ATTEMPTS)
    answer = gateway.order("discard", parcels=[parcel["number"]])
    assert answer.json()["discarded"] == 1
    pacs.script.statuses.clear()
    assert gateway.order("retry", parcels=[parcel["number"]]).status_code == 404
    assert gateway.counts() == (0, 0, 0)
    assert pacs.of(uid_of(file)) == []
    assert _evicted(gateway, file) == 409


def test_a_class_it_does_not_know(site: tuple[Onward, ListingPacs]) -> None:
    gateway, pacs = site
    (image,) = new_study()
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MR
    file = part10(image)
    gateway.stow([file])
    gateway.wait_for(0, 0, 1)
    assert "no presentation context accepted" in _dead(gateway)[uid_of(file)]
    pacs.accept({CT: [EXPLICIT_LE], MR: [EXPLICIT_LE]})
    assert gateway.order("retry", destination="pacs").json() == {"retried": 1}
    gateway.wait_until_settled()
    assert pacs.of(uid_of(file)) == [data_set(file)]


def test_a_full_pacs(site: tuple[Onward, ListingPacs]) -> None:
    """Who has no room is asked for ever."""
    gateway, pacs = site
    (study,) = new_studies(1, 2)
    pacs.script.statuses.update(dict.fromkeys(uids(study), (0xA700, SAYS)))
    gateway.stow(study)
    wait_until(lambda: pacs.asked.count(uid_of(study[0])) > ATTEMPTS + 1, 60, "asking again")
    assert gateway.counts() == (2, 0, 0)
    assert [one["attempts"] for one in gateway.parcels("waiting")] == [0, 0]
    assert "resources" in gateway.standing()["error"]
    pacs.script.statuses.clear()
    gateway.wait_until_settled()
    assert [pacs.of(uid_of(file)) for file in study] == [[data_set(file)] for file in study]


def test_one_it_breaks_off_at(site: tuple[Onward, ListingPacs]) -> None:
    """Behind it waits its study; all others go on."""
    gateway, pacs = site
    study, *others = new_studies(4, 2)
    pacs.aborts_at.add(uid_of(study[0]))
    gateway.stow(study)
    wait_until(lambda: uid_of(study[0]) in pacs.asked, 30, "breaking off")
    for other in others:
        gateway.stow(other)
    gateway.wait_for(2, 0, 0)
    wait_until(lambda: pacs.asked.count(uid_of(study[0])) > ATTEMPTS, 60, "trying again")
    assert uid_of(study[1]) not in pacs.asked
    assert gateway.counts() == (2, 0, 0)
    assert all(_evicted(gateway, other[0]) == 200 for other in others)
    pacs.aborts_at.clear()
    gateway.wait_until_settled()
    assert pacs.of(uid_of(study[0])) == [data_set(study[0])]


@pytest.mark.parametrize("status", [0xB000, 0xB007, 0x0107])
def test_taken_with_a_warning(site: tuple[Onward, ListingPacs], status: int) -> None:
    gateway, pacs = site
    ((file,),) = new_studies(1, 1)
    pacs.script.statuses[uid_of(file)] = status, SAYS
    gateway.stow([file])
    gateway.wait_until_settled()
    assert f"0x{status:04X}" in gateway.log()
    assert _evicted(gateway, file) == 200


def test_taken_with_losses(site: tuple[Onward, ListingPacs]) -> None:
    """What the PACS threw elements away of stays data here."""
    gateway, pacs = site
    ((file,),) = new_studies(1, 1)
    pacs.script.statuses[uid_of(file)] = 0xB006, SAYS
    gateway.stow([file])
    gateway.wait_until_settled()
    assert _evicted(gateway, file) == 409


def test_a_duplicate_of_its_own(site: tuple[Onward, ListingPacs]) -> None:
    """It took it, broke off before it said so, and has it now: nobody knows that it is the same."""
    gateway, pacs = site
    ((file,),) = new_studies(1, 1)
    pacs.aborts_at.add(uid_of(file))
    gateway.stow([file])
    wait_until(lambda: uid_of(file) in pacs.asked, 30, "breaking off")
    pacs.taken.append(Taken(uid_of(file), EXPLICIT_LE, data_set(file)))
    pacs.script.statuses[uid_of(file)] = 0x0111, SAYS
    pacs.aborts_at.clear()
    gateway.wait_until_settled()
    assert _evicted(gateway, file) == 409


def test_a_pacs_that_takes_and_does_not_list(site: tuple[Onward, ListingPacs]) -> None:
    gateway, pacs = site
    kept, lost = new_studies(1, 2)[0]
    pacs.hides.add(uid_of(lost))
    gateway.stow([kept, lost])
    wait_until(lambda: gateway.counts()[1], 30, "taking it")
    assert _evicted(gateway, kept) == 409
    gateway.wait_for(0, 0, 1)
    assert _dead(gateway) == {uid_of(lost): "accepted, but the PACS does not list it"}
    assert pacs.of(uid_of(lost)) == [data_set(lost)] * ATTEMPTS
    assert _evicted(gateway, kept) == 409
    pacs.hides.clear()
    gateway.order("retry", destination="pacs")
    gateway.wait_until_settled()
    assert _evicted(gateway, kept) == 409, "which of all that it took it kept, nobody knows"


def test_commitment_that_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the PACS doesn't commit itself to is sent again, and given up in the end; where it may
    be asked otherwise, what it lists counts."""
    for confirm_by in ("commitment", "auto"):
        with _site(tmp_path_factory.mktemp(confirm_by), confirm_by) as (gateway, pacs):
            kept, doubtful, lost = new_studies(1, 3)[0]
            pacs.hides.add(uid_of(lost))
            pacs.commit(gateway.process.dicom_port, {uid_of(doubtful): 0x0110})
            gateway.stow([kept, doubtful, lost])
            expected = {uid_of(lost)}
            if confirm_by == "commitment":
                expected.add(uid_of(doubtful))
            gateway.wait_for(0, 0, len(expected))
            dead = _dead(gateway)
            assert set(dead) == expected
            assert "does not commit itself to keeping it (0x0112)" in dead[uid_of(lost)]
            assert gateway.unconfirmed() == len(expected)
            pacs.hides.clear()
            pacs.reasons.clear()
            gateway.order("retry", destination="pacs")
            gateway.wait_until_settled()
            assert gateway.unconfirmed() == len(expected), "given up once: it may be another"
            gateway.assert_tells_nothing_of_patients()


def test_a_pacs_that_breaks_off_when_asked_for_a_commitment(tmp_path: Path) -> None:
    """An Orthanc does so that doesn't know the gateway; it lists what it has all the same."""
    with (
        orthanc_pacs(tmp_path / "pacs", [], DicomModalities={}) as pacs,
        onward(tmp_path / "gateway", {"pacs": modality(pacs.port)}) as gateway,
    ):
        for study in new_studies(2, 2):
            gateway.stow(study)
            gateway.wait_until_settled()
            assert listed(pacs.port, study) == uids(study)
        assert gateway.unconfirmed() == 0
        assert "Storage Commitment could not be asked for" in gateway.log()


def _named(file: bytes) -> str:
    return str(pydicom.dcmread(BytesIO(file), stop_before_pixels=True).PatientName)


def test_what_is_searched_for_in_logs_is_what_the_files_hold() -> None:
    assert _named(new_studies(1, 1)[0][0]).startswith("Muster")
