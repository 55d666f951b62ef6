"""A modality sends while clients store: Orthanc holds a lock while it asks us about a C-STORE."""

from __future__ import annotations

import threading
from pathlib import Path

import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from orthanc_process import (
    OrthancProcess,
    gateway_configuration,
    requires_orthanc,
    running_orthanc,
)
from stowing import new_files, new_study, store, stored_files

pytestmark = requires_orthanc
THREADS, CLIENTS, ROUNDS, IMAGES = 4, 12, 4, 60


def _sent(gateway: OrthancProcess, images: list[pydicom.FileDataset]) -> list[int | None]:
    """The status of each; None where there was no answer."""
    entity = AE("MODALITY")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", gateway.dicom_port, ae_title="FARSIGHT")
    assert association.is_established
    statuses = [association.send_c_store(image).get("Status") for image in images]
    association.release()
    return statuses


def test_neither_waits_for_the_other(tmp_path: Path) -> None:
    """More clients than threads, so that none is left for what the modality sends."""
    configuration = gateway_configuration({}, {"Http": {"Port": 0, "Threads": THREADS}})
    files = [[new_files(3) for _ in range(ROUNDS)] for _ in range(CLIENTS)]
    images = new_study(IMAGES)
    answers: list[int] = []
    with running_orthanc(tmp_path, configuration) as gateway:
        door = gateway.full_door_url

        def send_all(messages: list[list[bytes]]) -> None:
            for message in messages:
                answers.append(store(door, message).status)

        clients = [threading.Thread(target=send_all, args=(messages,)) for messages in files]
        for client in clients:
            client.start()
        statuses = _sent(gateway, images)
        for client in clients:
            client.join()
        assert statuses == [0] * IMAGES
        assert answers == [200] * CLIENTS * ROUNDS
        for image in images[:: IMAGES // 5]:
            assert len(stored_files(gateway, image.SOPInstanceUID)) == 1
