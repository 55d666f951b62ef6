"""Every real object through the gateway, beside what the PACS sends to an independent client.

What the PACS sends, not the file, is the truth here: a PACS may write a data set anew (other
lengths, no group lengths) when it sends. pynetdicom fetches the same objects and its bytes are
compared with ours.
"""

from __future__ import annotations

import io
import struct
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pydicom
import pytest
import requests
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as StudyRootGet

from corpus import CorpusFile, requires_corpus, storable_files
from dicom_json_comparison import JUSTIFIED, Comparison
from expected_frames import expected_frames
from fakes.scripted_pacs import scripted_pacs
from farsight.dicom.part10 import parse_object
from farsight.dicom.transfer_syntax import NATIVE
from orthanc_process import requires_orthanc
from pacs_peers import Peer
from related_parts import related_parts

from .conftest import Site, StartGateway, StartSite

pytestmark = [requires_orthanc, requires_corpus]
ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'
ANY_FRAME = "multipart/related; type=application/octet-stream; transfer-syntax=*"
EXPLICIT = "1.2.840.10008.1.2.1"
#: JPEG XL, Deflated Image Frame, Label Map Segmentation: Orthanc sends them only where its DCMTK
#: knows them, and gives up the whole C-GET where it doesn't.
NEWEST = {
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.4.111",
    "1.2.840.10008.1.2.4.112",
    "1.2.840.10008.1.2.8.1",
    "1.2.840.10008.5.1.4.1.1.66.7",
}


@dataclass(frozen=True)
class Sent:
    """One object as the PACS sent it to pynetdicom."""

    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    data_set: bytes

    @property
    def path(self) -> str:
        return (
            f"/dicom-web/studies/{self.study_uid}/series/{self.series_uid}"
            f"/instances/{self.instance_uid}"
        )

    def as_file(self) -> bytes:
        """Part 10 made by pydicom around the bytes that came."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = self.sop_class_uid
        meta.MediaStorageSOPInstanceUID = self.instance_uid
        meta.TransferSyntaxUID = self.transfer_syntax_uid
        head = io.BytesIO()
        write_file_meta_info(head, meta)
        return bytes(128) + b"DICM" + head.getvalue() + self.data_set


@pytest.fixture(scope="module", params=["orthanc", "pynetdicom"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def files(kind: str) -> list[CorpusFile]:
    """What this PACS is able to send: Orthanc most of it, one of pynetdicom the rest."""
    newest = [
        file
        for file in storable_files()
        if {file.row["transfer_syntax_uid"], file.row["sop_class_uid"]} & NEWEST
    ]
    return newest if kind == "pynetdicom" else [f for f in storable_files() if f not in newest]


@pytest.fixture(scope="module")
def site(
    start_site: StartSite,
    start_gateway_for_module: StartGateway,
    kind: str,
    files: list[CorpusFile],
) -> Iterator[Site]:
    if kind == "orthanc":
        yield start_site(kind, [file.path for file in files])
        return
    with scripted_pacs([pydicom.dcmread(file.path) for file in files]) as pacs:
        yield Site(start_gateway_for_module(pacs.port), Peer(kind, pacs.port, pacs))


@pytest.fixture(scope="module")
def sent(site: Site, files: list[CorpusFile]) -> dict[str, Sent]:
    """All the PACS sends, study by study, by SOPInstanceUID."""
    found: dict[str, Sent] = {}
    by_study: dict[str, list[CorpusFile]] = defaultdict(list)
    for file in files:
        by_study[file.row["study_uid"]].append(file)
    for study_uid, members in by_study.items():
        for one in _c_get(site.peer.port, study_uid, members):
            found[one.instance_uid] = one
    return found


def _c_get(port: int, study_uid: str, files: list[CorpusFile]) -> list[Sent]:
    entity = AE("INDEPENDENT")
    entity.add_requested_context(StudyRootGet)
    kinds = sorted({(f.row["sop_class_uid"], f.row["transfer_syntax_uid"]) for f in files})
    for sop_class_uid, syntax in kinds:
        entity.add_requested_context(sop_class_uid, syntax)
    roles = [build_role(uid, scp_role=True) for uid in {uid for uid, _ in kinds}]
    got: list[Sent] = []

    def take(event: evt.Event) -> int:
        raw = event.request.DataSet.getvalue()
        data_set = event.dataset
        got.append(
            Sent(
                study_uid,
                str(data_set.SeriesInstanceUID),
                str(event.request.AffectedSOPInstanceUID),
                str(event.request.AffectedSOPClassUID),
                str(event.context.transfer_syntax),
                raw,
            )
        )
        return 0

    association = entity.associate(
        "127.0.0.1", port, ae_title="PACS", ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, take)]
    )
    assert association.is_established
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study_uid
    *_, (status, _) = association.send_c_get(identifier, StudyRootGet)
    association.release()
    assert status.Status == 0, (study_uid, status)
    return got


def _everyone(sent: dict[str, Sent], level: str) -> dict[str, list[Sent]]:
    grouped: dict[str, list[Sent]] = defaultdict(list)
    for one in sent.values():
        grouped[one.study_uid if level == "study" else one.series_uid].append(one)
    return grouped


def _values(rows: list[dict], tag: str) -> list[str]:  # type: ignore[type-arg]
    return sorted(row[tag]["Value"][0] for row in rows)


def _get(url: str, accept: str = "*/*") -> requests.Response:
    answer = requests.get(url, headers={"Accept": accept}, timeout=120)
    assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text[:300]}"
    assert "Warning" not in answer.headers, f"{url}: {answer.headers['Warning']}"
    return answer


def test_the_independent_client_got_everything(
    sent: dict[str, Sent], files: list[CorpusFile]
) -> None:
    assert set(sent) == {file.row["sop_instance_uid"] for file in files}


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_everything_is_listed(site: Site, sent: dict[str, Sent], door: int) -> None:
    root = f"{site.doors[door]}/dicom-web/studies"
    studies = _everyone(sent, "study")
    rows = {row["0020000D"]["Value"][0]: row for row in _get(f"{root}?limit=1000").json()}
    assert rows.keys() == studies.keys()
    for study_uid, members in studies.items():
        assert int(rows[study_uid]["00201208"]["Value"][0]) == len(members)
        series = {one.series_uid for one in members}
        assert int(rows[study_uid]["00201206"]["Value"][0]) == len(series)
        assert _values(_get(f"{root}/{study_uid}/series").json(), "0020000E") == sorted(series)
    for series_uid, members in _everyone(sent, "series").items():
        url = f"{root}/{members[0].study_uid}/series/{series_uid}/instances"
        assert _values(_get(url).json(), "00080018") == sorted(one.instance_uid for one in members)


def test_metadata_element_by_element(site: Site, sent: dict[str, Sent]) -> None:
    full = site.doors[0]
    seen: set[str] = set()

    def compare(study_uid: str, members: list[Sent]) -> None:
        rows = _get(f"{full}/dicom-web/studies/{study_uid}/metadata").json()
        assert _values(rows, "00080018") == sorted(one.instance_uid for one in members)
        for row in rows:
            one = sent[row["00080018"]["Value"][0]]
            seen.update(_compare(full, row, one))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda item: compare(*item), _everyone(sent, "study").items()))
    assert seen <= set(JUSTIFIED)


def _compare(door: str, row: dict, one: Sent) -> set[str]:  # type: ignore[type-arg]
    """Element by element; bulk data is fetched by its URI and compared too."""
    data = one.as_file()

    root = f"{door}{one.path}/bulkdata"

    def fetch(uri: str) -> bytes:
        element = _at(theirs, uri.removeprefix(f"{root}/"))
        if not element.is_undefined_length:
            return _get(uri, "application/octet-stream, */*;q=0.1").content
        if uri != f"{root}/7FE00010":  # those of the object itself are compared frame by frame
            bodies = [body for _, body in related_parts(_get(uri))]
            assert bodies == list(generate_frames(element.value, number_of_frames=1)), uri
        return bytes(element.value)

    theirs = pydicom.dcmread(io.BytesIO(data))
    comparison = Comparison(parse_object(data), root, fetch)
    comparison.compare(row, theirs)
    return comparison.seen


def _at(theirs: Dataset, path: str) -> DataElement:
    *steps, last = path.split("/")
    for sequence, number in zip(steps[::2], steps[1::2], strict=True):
        theirs = theirs[int(sequence, 16)].value[int(number) - 1]
    return theirs[int(last, 16)]


def _with_pixels(sent: dict[str, Sent]) -> Iterator[tuple[Sent, pydicom.FileDataset]]:
    for one in sent.values():
        theirs = pydicom.dcmread(io.BytesIO(one.as_file()))
        if {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & set(theirs.dir()):
            yield one, theirs


def test_frames_byte_for_byte(site: Site, sent: dict[str, Sent]) -> None:
    for one, theirs in _with_pixels(sent):
        expected = expected_frames(theirs)
        numbers = ",".join(str(number) for number in range(1, len(expected) + 1))
        parts = related_parts(_get(f"{site.doors[0]}{one.path}/frames/{numbers}", ANY_FRAME))
        assert [body for _, body in parts] == expected, one.path
        native = one.transfer_syntax_uid in NATIVE
        syntax = EXPLICIT if native else one.transfer_syntax_uid
        assert {kind.partition("transfer-syntax=")[2] for kind, _ in parts} == {syntax}


def _data_set_of(part10: bytes) -> tuple[str, bytes]:
    """Transfer syntax and data set of a file, by the group length of its meta information."""
    assert part10[128:132] == b"DICM"
    assert part10[132:140] == b"\x02\x00\x00\x00UL\x04\x00"
    (length,) = struct.unpack_from("<L", part10, 140)
    meta = pydicom.dcmread(io.BytesIO(part10), stop_before_pixels=True).file_meta
    return str(meta.TransferSyntaxUID), part10[144 + length :]


def test_objects_bit_for_bit(site: Site, sent: dict[str, Sent]) -> None:
    for series_uid, members in _everyone(sent, "series").items():
        url = f"{site.doors[0]}/dicom-web/studies/{members[0].study_uid}/series/{series_uid}"
        parts = related_parts(_get(url, ANY_SYNTAX))
        assert len(parts) == len(members)
        ours = {_data_set_of(body) for _, body in parts}
        assert ours == {(one.transfer_syntax_uid, one.data_set) for one in members}, url


def test_a_sample_through_orthancs_port(site: Site, sent: dict[str, Sent]) -> None:
    """One object of every kind: class and transfer syntax."""
    door = site.doors[1]
    kinds = {(one.sop_class_uid, one.transfer_syntax_uid): one for one in sent.values()}
    for one in kinds.values():
        ((_, body),) = related_parts(_get(door + one.path, ANY_SYNTAX))
        assert _data_set_of(body) == (one.transfer_syntax_uid, one.data_set)
        (row,) = _get(f"{door}{one.path}/metadata").json()
        _compare(door, row, one)
    for one, theirs in _with_pixels({one.instance_uid: one for one in kinds.values()}):
        ((_, first),) = related_parts(_get(f"{door}{one.path}/frames/1", ANY_FRAME))
        assert first == expected_frames(theirs)[0], one.path
