"""A scanner that stands among the modalities is searched; what it sends may be nowhere else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

from fakes.scripted_pacs import wait_until
from orthanc_process import gateway_configuration, requires_orthanc, running_orthanc
from pacs_peers import requires_dcmtk
from sending_on import Onward, new_studies, storescu

pytestmark = [requires_orthanc, requires_dcmtk]
SCANNER = {"AET": "CT1", "Host": "127.0.0.1", "Port": 9}


@pytest.mark.parametrize("called_a_pacs", [False, True])
def test_what_it_sends_is_cache_only_where_it_is_called_a_pacs(
    tmp_path: Path, called_a_pacs: bool
) -> None:
    farsight: dict[str, Any] = {"Pacs": {"ct": {}}} if called_a_pacs else {}
    ((file,),) = new_studies(1, 1)
    configuration = gateway_configuration({"ct": SCANNER}, farsight)
    with running_orthanc(tmp_path / "gateway", configuration) as gateway:
        wait_until(lambda: "PACS: ct" in gateway.log(), what="its start")
        assert ("names none" in gateway.log()) is not called_a_pacs
        assert storescu(Onward(gateway), [file], tmp_path / "sent", calling="CT1")[0] == 0
        uid = pydicom.dcmread(BytesIO(file)).StudyInstanceUID
        url = f"{gateway.full_door_url}/farsight/cache/studies/{uid}"
        wait_until(lambda: requests.get(url, timeout=60).status_code == 200, what="booking it")
        (series,) = requests.get(url, timeout=60).json()["series"]
        assert series["unconfirmed"] == (0 if called_a_pacs else 1)
        evicted = requests.delete(url, timeout=60).status_code
        assert evicted == (200 if called_a_pacs else 409)
        assert len(gateway.json("/instances")) == (0 if called_a_pacs else 1)
