"""What modalities send takes the same way; what comes from the PACS doesn't go back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.listing_pacs import ListingPacs, listing_pacs
from fakes.scripted_pacs import wait_until
from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from sending_on import Onward, data_set, modality, new_studies, onward, storescu, uids
from stowing import new_study, part10, stored_files, uid_of

pytestmark = [requires_orthanc, requires_dcmtk]
Pair = tuple[Onward, ListingPacs]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("modalities")
    with (
        listing_pacs() as pacs,
        onward(directory, {"pacs": modality(pacs.port)}) as gateway,
    ):
        yield gateway, pacs
        gateway.assert_tells_nothing_of_patients()


@pytest.fixture
def site(pair: Pair) -> Pair:
    assert pair[0].counts() == (0, 0, 0)
    return pair


@pytest.fixture
def looked_at(site: Pair) -> Pair:
    """One that looks at what modalities send before Orthanc takes it."""
    if int(site[0].process.json("/plugins/python")["Version"].split(".")[0]) < 5:
        pytest.skip("this Python plugin doesn't allow that")
    return site


def _wait_until_at(pacs: ListingPacs, files: list[bytes]) -> None:
    wait_until(lambda: set(uids(files)) <= pacs.kept, 30, "sending it on")


def _changed(file: bytes) -> bytes:
    """The same names, other pixels."""
    return file[:-2] + b"\x12\x34"


def test_what_a_modality_sends_is_sent_on(site: Pair, tmp_path: Path) -> None:
    gateway, pacs = site
    files = [file for study in new_studies(4, 10) for file in study]
    assert storescu(gateway, files, tmp_path)[0] == 0
    _wait_until_at(pacs, files)
    gateway.wait_until_settled()
    assert [pacs.of(uid_of(file)) for file in files] == [[data_set(file)] for file in files]
    wait_until(lambda: gateway.unconfirmed() == 0, 30, "knowing that it is there")


def test_what_the_pacs_sends_does_not_go_back(site: Pair, tmp_path: Path) -> None:
    """Neither does it count as data."""
    gateway, pacs = site
    files, others = new_studies(2, 3)
    before = gateway.cache()["instances"]
    assert storescu(gateway, files, tmp_path / "pacs", calling="PACS")[0] == 0
    wait_until(lambda: gateway.cache()["instances"] == before + 3, 30, "booking it")
    assert gateway.unconfirmed() == 0
    assert storescu(gateway, others, tmp_path / "modality")[0] == 0
    _wait_until_at(pacs, others)
    gateway.wait_until_settled()
    assert not set(uids(files)) & set(pacs.asked)


def test_another_content_under_a_taken_name(looked_at: Pair, tmp_path: Path) -> None:
    """Its sender is told; the first one stays, here and at the PACS."""
    gateway, pacs = looked_at
    (files,) = new_studies(1, 2)
    assert storescu(gateway, files, tmp_path / "first")[0] == 0
    _wait_until_at(pacs, files)
    code, said = storescu(gateway, [_changed(files[0])], tmp_path / "second")
    assert code != 0
    assert "0x111" in said, said
    gateway.wait_until_settled()
    (stored,) = stored_files(gateway.process, uid_of(files[0]))
    assert data_set(stored) == data_set(files[0])
    assert [pacs.of(uid_of(file)) for file in files] == [[data_set(file)] for file in files]


def test_the_same_again(site: Pair, tmp_path: Path) -> None:
    """A success, and not sent again."""
    gateway, pacs = site
    (files,) = new_studies(1, 2)
    assert storescu(gateway, files, tmp_path / "first")[0] == 0
    _wait_until_at(pacs, files)
    wait_until(lambda: gateway.unconfirmed() == 0, 30, "knowing that it is there")
    assert storescu(gateway, files, tmp_path / "again")[0] == 0
    assert gateway.counts() == (0, 0, 0)
    assert [len(pacs.of(uid)) for uid in uids(files)] == [1, 1]


def test_the_same_as_was_uploaded(looked_at: Pair, tmp_path: Path) -> None:
    """It is here, and still has to go to the PACS."""
    gateway, pacs = looked_at
    (uploaded,) = new_studies(1, 2)
    for file in uploaded:
        gateway.process.store(file)
    wait_until(lambda: gateway.unconfirmed() == 2, 30, "booking it")
    assert storescu(gateway, uploaded, tmp_path / "uploaded")[0] == 0
    _wait_until_at(pacs, uploaded)
    gateway.wait_until_settled()
    assert gateway.unconfirmed() == 0


def test_another_patient_in_the_same_study(looked_at: Pair, tmp_path: Path) -> None:
    gateway, pacs = looked_at
    images = new_study(2)
    images[1].PatientID = "PAT2"
    files = [part10(image) for image in images]
    assert storescu(gateway, files[:1], tmp_path / "first")[0] == 0
    code, said = storescu(gateway, files[1:], tmp_path / "second")
    assert code != 0, said
    assert "0x110" in said, said
    assert stored_files(gateway.process, uid_of(files[1])) == []
    _wait_until_at(pacs, files[:1])
    gateway.wait_until_settled()
    assert pacs.of(uid_of(files[1])) == []
    assert "belongs to another patient" in gateway.log()


def test_what_came_while_the_gateway_ended(site: Pair, tmp_path: Path) -> None:
    """What a modality was told is stored is sent, though the gateway had no time to note it. What
    had been sent before is sent again, and stays data: the PACS has one of that name already."""
    gateway, pacs = site
    files = [file for study in new_studies(4, 10) for file in study]
    assert storescu(gateway, files, tmp_path)[0] == 0
    gateway.restart(kill=True)
    _wait_until_at(pacs, files)
    gateway.wait_until_settled()
    for file in files:
        assert set(pacs.of(uid_of(file))) == {data_set(file)}


def test_it_need_not_be_sent_on(tmp_path: Path) -> None:
    with (
        listing_pacs() as pacs,
        onward(
            tmp_path / "gateway", {"pacs": modality(pacs.port)}, stow={"ForwardDicom": False}
        ) as gateway,
    ):
        sent, stowed = new_studies(2, 2)
        assert storescu(gateway, sent, tmp_path / "sent")[0] == 0
        wait_until(lambda: gateway.unconfirmed() == 2, 30, "booking it")
        gateway.stow(stowed)
        gateway.wait_until_settled()
        assert pacs.kept == set(uids(stowed))
        assert gateway.unconfirmed() == 2


def test_what_is_replaced_is_sent_too(tmp_path: Path) -> None:
    """What was said of the old content doesn't count for the new one, by whatever way it came."""
    with (
        listing_pacs() as pacs,
        onward(
            tmp_path / "gateway",
            {"pacs": modality(pacs.port)},
            stow={"Duplicates": "replace"},
            OverwriteInstances=True,
        ) as gateway,
    ):
        ((file,),) = new_studies(1, 1)
        gateway.stow([file])
        gateway.wait_until_settled()
        assert gateway.unconfirmed() == 0
        contents = [file]
        for way in ("stow", "storescu"):
            contents.append(contents[-1][:-2] + bytes([len(contents), 7]))
            pacs.hides.add(uid_of(file))
            if way == "stow":
                gateway.stow([contents[-1]])
            else:
                assert storescu(gateway, [contents[-1]], tmp_path / way)[0] == 0
            taken = len(contents)
            wait_until(lambda n=taken: len(pacs.of(uid_of(file))) >= n, 30, "sending it")  # type: ignore[misc]
            assert gateway.unconfirmed() == 1
            pacs.hides.clear()
            gateway.wait_until_settled()
            assert gateway.unconfirmed() == 0
            assert pacs.of(uid_of(file))[-1] == data_set(contents[-1])
