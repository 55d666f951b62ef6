"""Twenty people who type into a viewer's filters at once, before a PACS that takes few."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

from fakes.scripted_pacs import scripted_pacs
from orthanc_process import requires_orthanc
from sample_files import ct_slice

from .conftest import StartGateway

pytestmark = requires_orthanc
PEOPLE, STUDIES, LIMIT = 20, 30, 3
NAME = "Muster^"


def test_twenty_people_typing(start_gateway: StartGateway) -> None:
    objects = [ct_slice(1, study=study, size=16) for study in range(1, STUDIES + 1)]
    for image in objects:
        image.StudyDate = "20200101"  # by default it has two digits for the study
    with scripted_pacs(objects, pause_s=0) as pacs:
        gateway = start_gateway(
            pacs.port,
            pacs={"MaxAssociations": LIMIT},
            farsight={"Search": {"CacheSeconds": 60}},
        )
        url = f"{gateway.full_door_url}/dicom-web/studies"

        def one(_person: int) -> list[tuple[int, int]]:
            answers = []
            for letters in range(1, len(NAME) + 1):
                asked = {"PatientName": f"*{NAME[:letters]}*", "limit": "101"}
                answer = requests.get(url, params=asked, timeout=120)
                answers.append((answer.status_code, len(answer.json())))
            return answers

        with ThreadPoolExecutor(PEOPLE) as people:
            answers = Counter(
                answer for person in people.map(one, range(PEOPLE)) for answer in person
            )
        assert answers == {(200, STUDIES): PEOPLE * len(NAME)}
        assert 1 <= pacs.most_associations <= LIMIT
        studies = [asked for asked in pacs.asked if asked.level == "STUDY"]
        # Each text once, whoever typed it, and the probe of capitals.
        assert len(studies) <= len(NAME) + 4
