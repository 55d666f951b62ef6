"""gzip on Orthanc's port: whoever makes it, it is made once, of what comes without it."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator

import pytest

from orthanc_process import (
    OrthancProcess,
    gateway_configuration,
    requires_orthanc,
    running_orthanc,
)
from sample_files import series_uid, study_uid, write_series

pytestmark = requires_orthanc
SLICES = 300
SERIES = f"/dicom-web/studies/{study_uid()}/series/{series_uid()}"
#: By Orthanc 1.12.7, where it does.
_COMPRESSED_ABOVE_BYTES = 2048
JSON = {"Accept": "application/dicom+json"}


@pytest.fixture(scope="module", params=["as it comes", "on", "off"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OrthancProcess]:
    """Orthanc's own compression as it is by default, on, and off."""
    own = {"as it comes": {}, "on": {"HttpCompressionEnabled": True}}
    chosen = own.get(request.param, {"HttpCompressionEnabled": False})
    configuration = gateway_configuration({}, {}, **chosen)
    directory = tmp_path_factory.mktemp("gzip")
    with running_orthanc(directory / "gateway", configuration) as process:
        for file in write_series(directory, SLICES):
            process.store(file.read_bytes())
        yield process


def ask(gateway: OrthancProcess, path: str, coding: str) -> tuple[list[str], bytes]:
    """Each Content-Encoding there is, and the bytes as they came."""
    host = gateway.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request("GET", path, headers={**JSON, "Accept-Encoding": coding})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return answer.headers.get_all("Content-Encoding") or [], body
    finally:
        connection.close()


@pytest.mark.parametrize("path", [f"{SERIES}/metadata", f"{SERIES}/instances"])
def test_it_is_made_once(gateway: OrthancProcess, path: str) -> None:
    none, plain = ask(gateway, path, "identity")
    assert none == []
    assert len(json.loads(plain)) == SLICES
    for _ in range(2):  # what was made is remembered
        codings, zipped = ask(gateway, path, "gzip")
        assert codings == ["gzip"]
        assert gzip.decompress(zipped) == plain
        assert len(zipped) > _COMPRESSED_ABOVE_BYTES


@pytest.mark.parametrize("coding", ["gzip;q=0", "br", "identity"])
def test_who_does_not_take_it_gets_none(gateway: OrthancProcess, coding: str) -> None:
    codings, plain = ask(gateway, f"{SERIES}/metadata", coding)
    if codings and coding != "identity":
        assert codings == ["gzip"], "Orthanc looks for the word only"
        plain = gzip.decompress(plain)
    assert len(json.loads(plain)) == SLICES
