"""What is deleted while a long answer is measured for Orthanc's port: an error, never "no such"."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from farsight.errors import MalformedDicom, NotFound
from farsight.ps318.multipart_related import Part, RelatedBody
from farsight.web.messages import Response
from farsight.web.orthanc_answers import OrthancAnswers
from farsight.web.worker_pool import WorkerPool


class Output:
    """The SDK's, as far as it is asked here."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""

    def SetHttpHeader(self, name: str, value: str) -> None: ...

    def SendHttpStatus(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body

    def AnswerBuffer(self, body: bytes, _media_type: str) -> None:
        self.body = body


class Parts:
    """Two parts; between them something happens, or nothing."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def __iter__(self) -> Iterator[Part]:
        yield Part((), b"first")
        if self._error is not None:
            raise self._error
        yield Part((), b"second")

    def sizes(self) -> None:
        return None


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, 200), (NotFound("1.2.3 is not stored"), 500), (MalformedDicom("1.2.3 is bad"), 500)],
)
def test_between_two_parts(error: Exception | None, status: int) -> None:
    pool, output = WorkerPool(1), Output()
    try:
        answer = Response(200, (), RelatedBody("application/dicom", "XX", Parts(error)))
        OrthancAnswers(pool).send(output, answer)
    finally:
        pool.close()
    assert output.status == status
    if error is None:
        assert b"second" in output.body
    else:
        assert str(error) in json.loads(output.body)["error"]
