"""A hundred viewers at once, each with a study of its own, before a PACS that takes few."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from fakes.scripted_pacs import scripted_pacs, wait_until
from orthanc_process import requires_orthanc
from sample_files import ct_slice, instance_uid, study_uid

from .conftest import StartGateway

pytestmark = requires_orthanc
STUDIES, SLICES = 100, 2


@pytest.mark.parametrize("limit", [1, 3])
def test_a_hundred_openings_stay_within_the_limit(start_gateway: StartGateway, limit: int) -> None:
    objects = [
        ct_slice(number, study=study, size=16)
        for study in range(1, STUDIES + 1)
        for number in range(1, SLICES + 1)
    ]
    for image in objects:
        image.StudyDate = "20200101"  # by default it has two digits for the study
    with scripted_pacs(objects) as pacs:
        gateway = start_gateway(pacs.port, pacs={"MaxAssociations": limit, "IdleTimeout": 2})

        def open_study(study: int) -> tuple[int, set[str]]:
            url = f"{gateway.full_door_url}/dicom-web/studies/{study_uid(study)}/metadata"
            answer = requests.get(url, timeout=300)
            assert "Warning" not in answer.headers, answer.headers["Warning"]
            return answer.status_code, {row["00080018"]["Value"][0] for row in answer.json()}

        with ThreadPoolExecutor(STUDIES) as viewers:
            answers = list(viewers.map(open_study, range(1, STUDIES + 1)))
        for study, answer in enumerate(answers, start=1):
            expected = {instance_uid(number, 1, study) for number in range(1, SLICES + 1)}
            assert answer == (200, expected)
        assert 1 <= pacs.most_associations <= limit
        wait_until(lambda: gateway.json("/farsight/retrieves") == [], what="the end of it")
        assert pacs.wait_for_connections(0), "no association is left behind"
        assert open_study(1)[0] == 200
