"""Hostile searches as bytes on a socket: each has a definite answer, the gateway lives on."""

from __future__ import annotations

import contextlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from sample_files import ct_slice, write_series

from .conftest import Site, StartSite

pytestmark = [requires_orthanc, requires_dcmtk]
STUDIES, INSTANCES = "/dicom-web/studies", "/dicom-web/instances"
LOCAL = 9  # a study that only the gateway's store has: wildcards there are matched by us
ALL = {1, 2, 3, LOCAL}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: str  # as on the wire, names included
    text: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.text
        return list(json.loads(self.text))

    @property
    def studies(self) -> set[int]:
        return {int(row["0020000D"]["Value"][0].rpartition(".")[2]) for row in self.rows}

    def refuses(self, named: str) -> bool:
        return self.status == 400 and named in json.loads(self.text)["error"]


def _exchange(door: str, data: bytes) -> Answer:
    """What came until the server closed, after what has to hold for every answer."""
    url, got = urlsplit(door), b""
    with socket.create_connection((url.hostname, url.port), timeout=60) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(data)
        with contextlib.suppress(ConnectionResetError):
            while piece := peer.recv(1 << 20):
                got += piece
    head, end, body = got.partition(b"\r\n\r\n")
    assert end, f"no definite answer: {got[:200]!r}"
    line, *fields = head.decode("ascii").split("\r\n")
    assert all(field.isprintable() for field in fields), fields
    assert not [field for field in fields if field.lower().startswith("x-evil")]
    answer = Answer(int(line.split(" ")[1]), "\n".join(fields), body.decode())
    assert not [word for word in ("Traceback", ".py", "site-packages") if word in answer.text]
    assert answer.status < 500 or (answer.status in (502, 503, 504) and "'pacs'" in answer.text)
    return answer


def _ask(door: str, target: str, method: str = "GET", more: str = "", body: bytes = b"") -> Answer:
    fields = f"Host: {urlsplit(door).netloc}\r\nConnection: close\r\n{more}"
    return _exchange(door, f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1") + body)


def _figure(site: Site, name: str) -> int:
    status = Path(f"/proc/{site.gateway.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1])


@pytest.fixture(scope="module")
def site(start_site: StartSite, tmp_path_factory: pytest.TempPathFactory) -> Site:
    directory = tmp_path_factory.mktemp("files")
    files = [file for study in (1, 2, 3) for file in write_series(directory, 2, study=study)]
    started = start_site("dcmqrscp", files)
    local = ct_slice(1, study=LOCAL)
    local.PatientName = local.PatientID = "a" * 63 + "b"
    local.save_as(directory / "local.dcm", enforce_file_format=True)
    started.gateway.store((directory / "local.dcm").read_bytes())
    return started


@pytest.fixture(scope="module", autouse=True)
def beginning(site: Site) -> Any:
    """Rows, threads and resident kB before the first hostile request."""
    return _ask(site.doors[0], STUDIES).rows, _figure(site, "Threads"), _figure(site, "VmRSS")


@pytest.fixture(params=[0, 1], ids=["full", "orthanc"])
def door(request: pytest.FixtureRequest, site: Site) -> str:
    return site.doors[request.param]


def _short(value: object) -> str:
    return str(value).removeprefix(STUDIES)[:40]


def _each(name: str, *values: str, at: str = STUDIES) -> list[tuple[str, str]]:
    return [(f"{at}?{name}={value}", name) for value in values]


UIDS = ",".join(f"1.2.{number}" for number in range(1, 1002))
NO_COUNTS = ("", "-1", "1.5", "0x1", "1e3", "1_0", "+1", "%2B1", "9" * 20, quote("١"))
DEEP = "ReferencedStudySequence." * 50 + "PatientID"
#: What is asked, and what the 400 has to name.
REFUSED = [
    (f"{STUDIES}?{'&'.join(map(str, range(300)))}", "256 parameters"),
    *_each("PatientID", "a" * 2000, "*a" * 513, "a%5Cb", "PAT1&00100020=PAT2"),
    *_each("PatientID", "%00", "a%00b", "%0d%0aX-Evil:1", "%0aX-Evil:1", "%1b", "%7f", "%c2%85"),
    *_each("StudyInstanceUID", "abc", "1" * 65, "1.2.*", "1.2,,3", "1.2,", ",", "-1", UIDS),
    *_each("StudyDate", "20210231", "2021-13-01", "99999999", "-", "--", "00000101", "2020*"),
    *_each("StudyDate", "20210101-20210102-20210103", "20200101,20200102", quote("٢٠٢٠٠١٠١")),
    *_each("StudyDate", "20210110-20210101", "20200101%5C20200102", "%2532020"),
    *_each("StudyTime", "25", "1060", "101561", "10:15-09", "-", "101500.1234567", "aa"),
    *(pair for name in ("limit", "offset") for pair in _each(name, *NO_COUNTS)),
    *_each("includefield", ",".join(["all"] * 513), "garbage", "PatientName.PatientID", "%00"),
    *_each("includefield", ".", "00020010", "0010", DEEP),
    *_each("SOPInstanceUID", "1.2", at="/dicom-web/series"),  # of a lower level
    *(_each(name, "1")[0] for name in ("Modality", "00091001", "OtherPatientIDsSequence")),
    *_each("fuzzymatching", "maybe"),
    (f"{STUDIES}?{DEEP}=1", DEEP[:80]),
    (f"{STUDIES}?No%0d%0aX-Evil%3A1=1", "control characters"),
]
#: A search for U+FFFD would find nobody, and say it as if nobody were there.
NO_UTF_8 = _each("PatientName", "%ff", "J%fcrgen*", "%c0%80", "%c1%90", "%ed%a0%80", "%e2%82")
NUMBERS = """Rows=70000 Rows=-1 Rows=1e300 Rows=8_0 Rows=abc InstanceNumber=1_0
InstanceNumber=1e9999 PixelPaddingValue=-40000 ReferencePixelX0=99999999999"""
NO_NUMBERS = [(f"{INSTANCES}?{query}", query.partition("=")[0]) for query in NUMBERS.split()]


@pytest.mark.parametrize(("target", "named"), REFUSED + NO_UTF_8 + NO_NUMBERS, ids=_short)
def test_refused_by_name(door: str, target: str, named: str) -> None:
    assert _ask(door, target).refuses(named)


STARS, MARKS = "*a" * 30 + "*" * 440, "*a?" * 20 + "*" * 440
#: The studies found, what a Warning says, the queries.
ANSWERS: list[tuple[set[int], str, list[str]]] = [
    ({LOCAL}, "", [f"PatientID={STARS}b", f"PatientName={STARS}b", f"PatientName={MARKS}b"]),
    (set(), "", [f"PatientID={STARS}c", f"PatientID={MARKS}c", f"PatientName={MARKS}c"]),
    (set(), "", [f"PatientName={'^' * 500}", f"PatientName={'^=' * 300}", "PatientName=a=b=c=d"]),
    (set(), "", [f"PatientID={'?' * 1000}", f"StudyInstanceUID={UIDS.rpartition(',')[0]}"]),
    (set(), "", ["StudyInstanceUID=1..2", "StudyInstanceUID=.."]),  # see model.checked_uid
    (set(), "", ["PatientID=%2550AT1", "StudyDescription=Test%2Bstudy"]),
    (set(), "", ["offset=4", "offset=999999999", "limit=1&limit=1&offset=4"]),
    (ALL, "", ["", "&&=", "PatientID", "PatientID=&PatientName=*", "limit=999999999"]),
    (ALL, "", ["StudyDescription=Test+study", "includefield=00091001,OtherPatientIDsSequence"]),
    (set(), "4 additional results", ["limit=0"]),
    (ALL, "SpecificCharacterSet", ["SpecificCharacterSet=ISO_IR%20100"]),  # PS3.4 C.2.2.2
    (ALL, "%50atientID is not supported", ["%2550atientID=PAT1"]),
    (ALL, "242 more parameters", ["&".join(f"k{number}" for number in range(250))]),
    (ALL, "not supported", ["=x", "No%22%5C%2C%20299=1", "No%E2%80%A8X-Evil:%201=1"]),
    (ALL, "not supported", ["No%C4%8D%C4%8AX-Evil:%201"]),  # CR and LF if cut to bytes
]
ANSWERED = [(query, found, warned) for found, warned, queries in ANSWERS for query in queries]


@pytest.mark.parametrize(("query", "expected", "warned"), ANSWERED, ids=_short)
def test_answered(door: str, query: str, expected: set[int], warned: str) -> None:
    answer = _ask(door, f"{STUDIES}?{query}")
    assert answer.studies == expected
    assert warned in answer.headers
    assert bool(warned) == ("arning: 299" in answer.headers)


def test_everything_percent_encoded_is_the_same(door: str) -> None:
    def encoded(text: str) -> str:
        return "".join(c if c in "/=" else "".join(f"%{b:02x}" for b in c.encode()) for c in text)

    for pair in ("PatientID=PAT1", "00100010=Muster^Jürgen1", "limit=2"):
        plain = _ask(door, f"{STUDIES}?{quote(pair, safe='=')}").rows
        assert _ask(door, f"{encoded(STUDIES)}?{encoded(pair)}").rows == plain != []


@pytest.mark.parametrize("name", ["InstanceNumber", "SamplesPerPixel"])
def test_numbers_match_by_value_or_are_refused(door: str, name: str) -> None:
    expected = _ask(door, f"{INSTANCES}?{name}=1").studies
    for value in ("01", "%2B1", "1.0", "1e0"):
        answer = _ask(door, f"{INSTANCES}?{name}={value}")
        assert answer.refuses(name) or answer.studies == expected, value


def test_contradictions(site: Site) -> None:
    for query, named in (("limit=1&limit=2", "limit"), ("PatientID=X&PatientID=PAT2", "PatientID")):
        full, orthanc = (_ask(door, f"{STUDIES}?{query}") for door in site.doors)
        assert full.refuses(named)
        last = _ask(site.doors[1], f"{STUDIES}?{query.partition('&')[2]}")
        assert orthanc.rows == last.rows  # docs/doors.md: the last one counts


LARGE = [
    ("?" + "&".join(f"k{number}=1" for number in range(10_000)), ""),
    *((f"?PatientID={'a' * size}", "") for size in (70_000, 1_000_000)),
    *(("", f"X-Long: {'a' * size}\r\n") for size in (100_000, 1_000_000)),
    ("", "".join(f"X-{number}: 1\r\n" for number in range(10_000))),
]


@pytest.mark.parametrize(("query", "more"), LARGE, ids=_short)
def test_heads_that_are_too_large(site: Site, query: str, more: str) -> None:
    """docs/errors.md: 431, however the bytes are cut into packets. Orthanc's own is 400."""
    full, orthanc = (_ask(door, STUDIES + query, more=more) for door in site.doors)
    assert full.status in (414, 431), full.text
    assert orthanc.status in (400, 413, 414, 431)


@pytest.mark.parametrize("accept", ["image/png", "garbage", ";;;,,,", "*/*;q=0", "a/b," * 99])
def test_nothing_acceptable(door: str, accept: str) -> None:
    for query, more in (("", f"Accept: {accept}\r\n"), ("?accept=image/png", "")):
        answer = _ask(door, STUDIES + query, more=more)
        assert answer.status == 406
        assert "application/dicom+json" in answer.text


def test_methods_bodies_and_versions(site: Site) -> None:
    full, orthanc = site.doors
    assert (_ask(full, STUDIES, "HEAD").status, _ask(full, STUDIES, "HEAD").text) == (200, "")
    assert _ask(full, STUDIES, "OPTIONS").status == 204
    for door, methods in ((full, "PUT DELETE POST PATCH TRACE"), (orthanc, "PUT DELETE POST")):
        for method in methods.split():
            refused = _ask(door, STUDIES, method, "Content-Length: 0\r\n")
            if method == "POST":  # stores, and this one says nothing of what it brings
                assert refused.status == 415
                continue
            assert refused.status == 405
            assert "allow: GET" in refused.headers.replace("Allow", "allow")
        assert _ask(door, STUDIES, more="Content-Length: 5\r\n", body=b"hello").studies == ALL
    chunks = b"1\r\nx\r\n0\r\n\r\n"
    assert _ask(full, STUDIES, "GET", "Transfer-Encoding: chunked\r\n", chunks).studies == ALL
    assert _ask(full, STUDIES, "GET", "Content-Length: 2000000\r\n", b"x" * 2_000_000).status == 413
    assert _exchange(full, b"GET /dicom-web/studies HTTP/1.0\r\n\r\n").studies == ALL
    assert _ask(full, f"http://evil.example{STUDIES}").studies == ALL  # RFC 9112 3.2.2
    strange = b'GET /dicom-web/studies?k=1 HTTP/1.0\r\nHost: e"/<i>\r\n\r\n'
    assert "<i>" not in str(_exchange(full, strange))


NOWHERE = f"""//studies //dicom-web/studies /dicom-web//studies /x/../dicom-web /DICOM-WEB/studies *
/dicom-web/studies/ /dicom-web/studies/..%2f..%2f /dicom-web/%2e%2e/system /dicom-web/%ff
/dicom-web/studies%00 /dicom-web/studies%0d%0aX-Evil:1 /dicom-web/studies/{"a/" * 2000}
/dicom-web{"/%2e%2e" * 9}/etc/passwd"""


@pytest.mark.parametrize("path", NOWHERE.split(), ids=_short)
def test_paths_that_lead_nowhere(site: Site, path: str) -> None:
    full, orthanc = site.doors
    assert _ask(full, path).status == 404
    if path not in ("*", "/dicom-web/%ff"):  # Orthanc's own affair: closes; 500 without asking us
        answer = _ask(orthanc, path)
        assert answer.status in (200, 301, 400, 404)
        assert "root:" not in answer.text


GET = "GET /dicom-web/studies HTTP/1.1|Connection: close"
BROKEN = [  # lines, with | between them
    *["GARBAGE", "GET", "GET dicom-web/studies HTTP/1.1|Host: a", "\x16\x03\x01\x02\0\x01\0\xfc"],
    *["FOO /dicom-web/studies HTTP/1.1|Host: a", "GET /dicom-web/studies HTTP/9.9|Host: a"],
    *(f"GET /dicom-web/studies?a={value} HTTP/1.1|Host: a" for value in ("\xfc", "b c", "\0")),
    *(f"{GET}|Host: a|{line}" for line in ("no colon", "Content-Length: -1", "Nul: \0")),
    GET + "|Host: a|Content-Length: 1|Transfer-Encoding: chunked||0",
    *[GET, GET + "|Host: a|Host: b"],  # RFC 9112 3.2: exactly one Host
]


@pytest.mark.parametrize("data", BROKEN, ids=_short)
def test_broken_requests(site: Site, data: str) -> None:
    sent = f"{data}||".replace("|", "\r\n").encode("latin-1")
    assert _exchange(site.doors[0], sent).status == 400


def _hostile(site: Site) -> list[tuple[str, str]]:
    targets = [target for target, _ in REFUSED] + [f"{STUDIES}?{query}" for query, *_ in ANSWERED]
    return [(door, target) for target in targets for door in site.doors]


def test_good_searches_among_hostile_and_slow_ones(site: Site) -> None:
    hostile, url = _hostile(site), urlsplit(site.doors[0])
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(52) as pool:
        for _ in range(20):
            slow = stack.enter_context(socket.create_connection((url.hostname, url.port)))
            slow.sendall(b"GET /dicom-web/studies HTTP/1.1\r\nHost:")
        asked = [pool.submit(_ask, *one) for one in hostile[-50:] + hostile[:50]]
        good = [pool.submit(_ask, door, f"{STUDIES}?PatientID=PAT2") for door in site.doors]
        assert [future.result(60).studies for future in good] == [{2}, {2}]
        assert {future.result(60).status for future in asked} == {200, 400}


def test_it_lives_on_as_before(site: Site, beginning: Any) -> None:
    for door, target in _hostile(site):
        _ask(door, target)
    for number in range(300):
        _ask(site.doors[number % 2], f"{STUDIES}?PatientID={'*a' * 300}{number}&k{number}=1")
    rows, threads, resident_kb = beginning
    assert _ask(site.doors[0], STUDIES).rows == rows
    assert _ask(site.doors[1], STUDIES).studies == ALL
    assert _figure(site, "Threads") - threads <= 64 + 8, "Http.Threads, and a few"
    assert _figure(site, "VmRSS") - resident_kb < 150 * 1024
