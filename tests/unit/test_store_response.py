"""The answer to a request to store, read by others: pydicom, dicomweb-client (PS3.18 annex I)."""

from __future__ import annotations

import json
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from requests.adapters import BaseAdapter

from farsight.errors import BadRequest, NotAcceptable
from farsight.ps318.accept import parse_accept
from farsight.ps318.dicom_xml import NAMESPACE
from farsight.ps318.media_type import Offer, choose_store_response
from farsight.ps318.multipart_reader import MultipartReader, PartData, ReaderLimits
from farsight.ps318.store_reasons import MEANINGS, FailureReason, WarningReason
from farsight.ps318.store_request import RootType, parse_store_request
from farsight.ps318.store_response import (
    FailedItem,
    StoredItem,
    StoreReport,
    store_attributes,
    store_payload,
    store_status,
    store_warnings,
)
from farsight.ps318.warning import warning_value

CT, STUDY = str(CTImageStorage), "http://h:8043/dicom-web/studies/1.2"
JSON, XML = Offer("application/dicom+json"), Offer("application/dicom+xml")
STORED = StoredItem(CT, "1.2.3.1", f"{STUDY}/series/1.2.3/instances/1.2.3.1")
COERCED = StoredItem(
    CT, "1.2.3.2", f"{STUDY}/series/1.2.3/instances/1.2.3.2", WarningReason.COERCED,
    {"04000565": {"vr": "CS", "Value": ["COERCE"]}}, "the UID was padded with blanks",
)  # fmt: skip
OTHER = FailedItem(CT, "1.2.3.9", FailureReason.OTHER_STUDY, "it is of study 9.9")
UNREADABLE = FailedItem("", "", FailureReason.CANNOT_UNDERSTAND, "not a DICOM file")
CLASSLESS = FailedItem("", "1.2.3.7", FailureReason.MISSING_ATTRIBUTE)
FULL = FailedItem(CT, "1.2.3.8", FailureReason.OUT_OF_RESOURCES)


def read(report: StoreReport) -> Dataset:
    return Dataset.from_json(json.loads(store_payload(report, JSON)))


@pytest.mark.parametrize(
    ("stored", "failed", "status"),
    [
        ([STORED], [], 200),
        ([STORED, STORED], [], 200),
        ([STORED, COERCED], [], 202),
        ([COERCED], [], 202),
        ([STORED], [OTHER], 202),
        ([STORED], [FULL], 202),
        ([], [OTHER], 409),
        ([], [UNREADABLE], 409),
        ([], [FULL, OTHER], 409),
        ([], [FULL, FULL], 503),
    ],
)
def test_status(stored: list[StoredItem], failed: list[FailedItem], status: int) -> None:
    assert store_status(StoreReport(stored, failed)) == status


def test_nothing_to_be_stored_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        store_status(StoreReport([]))


def test_pydicom_reads_all_of_it() -> None:
    data_set = read(StoreReport([STORED, COERCED], [OTHER, UNREADABLE, CLASSLESS], STUDY))
    assert data_set.RetrieveURL == STUDY
    plain, coerced = data_set.ReferencedSOPSequence
    assert (plain.ReferencedSOPClassUID, plain.ReferencedSOPInstanceUID) == (CT, "1.2.3.1")
    assert plain.RetrieveURL == STORED.retrieve_url
    assert "WarningReason" not in plain
    assert coerced.WarningReason == 0xB000
    assert coerced.OriginalAttributesSequence[0].ReasonForTheAttributeModification == "COERCE"
    (failed,) = data_set.FailedSOPSequence
    assert (failed.ReferencedSOPClassUID, failed.ReferencedSOPInstanceUID) == (CT, "1.2.3.9")
    assert failed.FailureReason == 0xA901
    assert [item.FailureReason for item in data_set.OtherFailuresSequence] == [0xC000, 0x0120]
    assert [len(item) for item in data_set.OtherFailuresSequence] == [1, 1]


def test_what_there_is_nothing_of_is_left_out() -> None:
    """Sequences are of type 1C: there with items or not at all; the URL is of type 2."""
    assert store_attributes(StoreReport([STORED], [], STUDY)).keys() == {"00081190", "00081199"}
    assert store_attributes(StoreReport([], [OTHER])).keys() == {"00081190", "00081198"}
    assert store_attributes(StoreReport([], [UNREADABLE])).keys() == {"00081190", "0008119A"}
    assert store_attributes(StoreReport([], [OTHER]))["00081190"] == {"vr": "UR"}
    tags = list(store_attributes(StoreReport([STORED], [OTHER, UNREADABLE])))
    assert tags == sorted(tags)


def test_vrs_are_those_of_the_dictionary() -> None:
    """Written by pydicom from its own dictionary, it is the same."""
    report = StoreReport([STORED, COERCED], [OTHER, UNREADABLE], STUDY)
    mine, theirs = json.loads(store_payload(report, JSON)), Dataset()
    theirs.RetrieveURL = STUDY
    theirs.FailedSOPSequence = [Dataset()]
    theirs.FailedSOPSequence[0].ReferencedSOPClassUID = CT
    theirs.FailedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.9"
    theirs.FailedSOPSequence[0].FailureReason = 0xA901
    theirs.ReferencedSOPSequence = [Dataset(), Dataset()]
    for item, stored in zip(theirs.ReferencedSOPSequence, report.stored, strict=True):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, stored.sop_instance_uid
        item.RetrieveURL = stored.retrieve_url
    changed = Dataset()
    changed.ReasonForTheAttributeModification = "COERCE"
    theirs.ReferencedSOPSequence[1].WarningReason = 0xB000
    theirs.ReferencedSOPSequence[1].OriginalAttributesSequence = [changed]
    theirs.OtherFailuresSequence = [Dataset()]
    theirs.OtherFailuresSequence[0].FailureReason = 0xC000
    assert mine == theirs.to_json_dict()


def test_xml_says_the_same() -> None:
    payload = store_payload(StoreReport([STORED], [OTHER], STUDY), XML)
    path = "./n:DicomAttribute[@keyword='FailedSOPSequence']/n:Item/n:DicomAttribute"
    attributes = fromstring(payload).findall(path, {"n": NAMESPACE})
    values = {attribute.get("keyword"): attribute[0].text for attribute in attributes}
    assert values == {"ReferencedSOPClassUID": CT, "ReferencedSOPInstanceUID": "1.2.3.9",
                      "FailureReason": str(0xA901)}  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [(None, "application/dicom+json"), ("*/*", "application/dicom+json"),
     ("application/json, text/plain, */*", "application/json"),
     ("application/dicom+json, application/json", "application/dicom+json"),
     ("application/dicom+xml", "application/dicom+xml"),
     ("application/dicom+xml;q=0.9, application/dicom+json;q=0.8", "application/dicom+xml"),
     ("application/dicom", None), ("text/html", None)],
)  # fmt: skip
def test_what_it_is_answered_in(accept: str | None, chosen: str | None) -> None:
    if chosen is None:
        with pytest.raises(NotAcceptable):
            choose_store_response(parse_accept(accept))
    else:
        offer = choose_store_response(parse_accept(accept))
        assert (offer.media_type, offer.multipart) == (chosen, False)


def test_every_reason_has_words_and_failures_look_like_failures() -> None:
    assert MEANINGS.keys() == {*FailureReason, *WarningReason}
    assert not {*map(int, FailureReason)} & {*map(int, WarningReason)}


def test_words_go_into_warnings() -> None:
    others = [FailedItem(CT, f"1.{n}", FailureReason.OTHER_STUDY, "it is of study 9.9")
              for n in range(5)]  # fmt: skip
    said = store_warnings(StoreReport([STORED, COERCED], [*others, UNREADABLE], STUDY))
    assert said == [
        "5 not stored (0xA901), the Study Instance UID is not that of the request: "
        "it is of study 9.9 [1.0, 1.1, 1.2 and others]",
        "1 not stored (0xC000), it cannot be understood: not a DICOM file",
        "1 stored with a warning (0xB000), data elements were coerced: "
        "the UID was padded with blanks [1.2.3.2]",
    ]
    assert store_warnings(StoreReport([STORED])) == []
    unnamed = FailedItem("", "", FailureReason.CANNOT_UNDERSTAND, "not a DICOM file", part=7)
    (words,) = store_warnings(StoreReport([], [unnamed]))
    assert words.endswith(": not a DICOM file [part 7]")


def test_warnings_stay_few_and_short() -> None:
    failed = [FailedItem(CT, "1" * 64, FailureReason.PROCESSING_FAILURE, f"{n}\r\n" * 500)
              for n in range(100)]  # fmt: skip
    said = store_warnings(StoreReport([], failed))
    assert said[-1] == "92 more reasons are not told here"
    values = [warning_value("http://h", text) for text in said]
    assert sum(map(len, values)) < 4096
    assert all(value.isprintable() for value in values)


class Site(BaseAdapter):
    """A site that stores what it is sent, as far as one that only parses and answers can."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        headers = {name.lower(): str(value) for name, value in request.headers.items()}
        stored = parse_store_request(headers)
        assert stored.root_type is RootType.DICOM
        assert isinstance(request.body, bytes)
        assert stored.boundary is not None
        reader = MultipartReader(stored.boundary, ReaderLimits(10, 1 << 20, 1000))
        events = reader.feed(request.body)
        self.bodies = [bytes(event.data) for event in events if isinstance(event, PartData)]
        reader.close()
        report = StoreReport([STORED], [OTHER], STUDY)
        response = requests.Response()
        response.status_code, response.request = store_status(report), request
        offer = choose_store_response(parse_accept(headers.get("accept")))
        response._content = store_payload(report, offer)
        response.headers["Content-Type"] = offer.media_type
        return response

    def close(self) -> None:
        pass


def test_dicomweb_client_stores_and_reads_the_answer() -> None:
    session, site = requests.Session(), Site()
    session.mount("http://", site)
    instance = Dataset()
    instance.preamble = bytes(128)
    instance.SOPClassUID, instance.SOPInstanceUID = CT, "1.2.3.1"
    instance.ensure_file_meta()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    answer = DICOMwebClient("http://127.0.0.1/dicom-web", session=session).store_instances(
        [instance, instance]
    )
    assert [body[128:132] for body in site.bodies] == [b"DICM", b"DICM"]
    assert site.bodies[0] == site.bodies[1]
    assert answer.RetrieveURL == STUDY
    assert answer.FailedSOPSequence[0].FailureReason == FailureReason.OTHER_STUDY
