"""The clients that others wrote, dicomweb-client in Python and in JavaScript, store."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from requests import HTTPError

from corpus import files_in, requires_corpus
from npm_packages import node_modules, requires_node
from orthanc_process import OrthancProcess, requires_orthanc
from stowing import (
    doors,
    held,
    new_study,
    nothing_stored,
    part10,
    stored_files,
    storing_gateway,
    uid_of,
)

pytestmark = requires_orthanc
PROJECT = Path(__file__).resolve().parent.parent / "dicomweb_client_js"
OTHER_STUDY, DUPLICATE = 0xA901, 0x0111


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    with storing_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(params=["full", "orthanc"])
def url(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    return doors(gateway)[request.param == "orthanc"] + "/dicom-web"


@pytest.fixture
def client(url: str) -> DICOMwebClient:
    return DICOMwebClient(url)


def _stored(answer: Dataset) -> list[str]:
    return [str(item.ReferencedSOPInstanceUID) for item in answer.ReferencedSOPSequence]


def _is_stored(gateway: OrthancProcess, image: FileDataset) -> bool:
    (file,) = stored_files(gateway, str(image.SOPInstanceUID))
    return bool(dcmread(BytesIO(file)) == image)


def test_python(gateway: OrthancProcess, client: DICOMwebClient) -> None:
    images = new_study(3)
    assert _stored(client.store_instances(images)) == [image.SOPInstanceUID for image in images]
    again = client.store_instances(images, study_instance_uid=images[0].StudyInstanceUID)
    assert _stored(again) == [image.SOPInstanceUID for image in images]
    assert all(_is_stored(gateway, image) for image in images)
    rows = client.retrieve_study_metadata(images[0].StudyInstanceUID)
    assert len(rows) == 3


def test_python_without_preamble(gateway: OrthancProcess, client: DICOMwebClient) -> None:
    """What pydicom writes of a data set that has none."""
    (image,) = new_study()
    image.preamble = None
    assert _stored(client.store_instances([image])) == [image.SOPInstanceUID]
    assert stored_files(gateway, image.SOPInstanceUID)[0][128:132] == b"DICM"


def test_python_with_some_refused(
    gateway: OrthancProcess, url: str, client: DICOMwebClient
) -> None:
    """The client reads the data set if it is called JSON; Orthanc 1.12 calls that of a 202 text."""
    (good,), (other,) = new_study(), new_study()
    answer = client.store_instances([good, other], study_instance_uid=good.StudyInstanceUID)
    if url.startswith(gateway.url) and not answer:
        assert int(gateway.json("/plugins/python")["Version"].split(".")[0]) >= 5
    else:
        assert _stored(answer) == [good.SOPInstanceUID]
        (failed,) = answer.FailedSOPSequence
        assert failed.ReferencedSOPInstanceUID == other.SOPInstanceUID
        assert failed.FailureReason == OTHER_STUDY
    assert _is_stored(gateway, good)
    assert stored_files(gateway, other.SOPInstanceUID) == []


def test_python_with_all_refused(gateway: OrthancProcess, client: DICOMwebClient) -> None:
    images = new_study(2)
    with nothing_stored(gateway), pytest.raises(HTTPError, match="409"):
        client.store_instances(images, study_instance_uid="1.2.3")


@requires_corpus
def test_python_with_real_files(gateway: OrthancProcess, client: DICOMwebClient) -> None:
    images = [dcmread(file.path) for file in files_in("sr", "rt", "wsi")]
    assert _stored(client.store_instances(images)) == [image.SOPInstanceUID for image in images]
    for image in images:
        assert _is_stored(gateway, image)


@pytest.fixture(scope="module")
def modules() -> Path:
    return node_modules(PROJECT)


def _call(modules: Path, url: str, files: list[bytes], **options: Any) -> Any:
    datasets = [{"bytes": base64.b64encode(file).decode()} for file in files]
    call = {
        "client": {"url": url},
        "method": "storeInstances",
        "options": {"datasets": datasets, **options},
    }
    script = [str(PROJECT / "call.mjs"), str(modules), json.dumps(call)]
    done = subprocess.run(["node", *script], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@requires_node
def test_javascript(gateway: OrthancProcess, url: str, modules: Path) -> None:
    images = new_study(3)
    files = [part10(image) for image in images]
    answer = _call(modules, url, files)
    assert _stored(Dataset.from_json(json.loads(answer))) == [uid_of(file) for file in files]
    assert [stored_files(gateway, uid_of(file)) for file in files] == [[file] for file in files]
    before = held(gateway)
    study = str(images[0].StudyInstanceUID)
    assert _stored(
        Dataset.from_json(json.loads(_call(modules, url, files, studyInstanceUID=study)))
    )
    assert held(gateway) == before


@requires_node
def test_javascript_with_refusals(gateway: OrthancProcess, url: str, modules: Path) -> None:
    (good,), (bad,) = new_study(), new_study()
    files = [part10(good), part10(bad)]
    with nothing_stored(gateway):
        assert _call(modules, url, files, studyInstanceUID="1.2.3") == {"status": 409}
    answer = _call(modules, url, files, studyInstanceUID=str(good.StudyInstanceUID))
    (failed,) = Dataset.from_json(json.loads(answer)).FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == bad.SOPInstanceUID
