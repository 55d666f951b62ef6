"""Roots, methods, and errors as answers."""

from __future__ import annotations

import json

import pytest

from farsight import errors
from farsight.web.byte_range import with_range
from farsight.web.messages import Request, Response
from farsight.web.routes import Router, error_response


def _say(name: str):  # type: ignore[no-untyped-def]
    return lambda request: Response(200, (), f"{name}:{request.path}".encode())


def _router() -> Router:
    return Router({"/dicom-web/": _say("web"), "/farsight/": _say("status")})


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/dicom-web/studies", 200, b"web:/dicom-web/studies"),
        ("/farsight/", 200, b"status:/farsight/"),
        ("/dicom-webx/", 404, None),
        ("/", 404, None),
        ("", 404, None),
        ("/x/dicom-web/studies", 404, None),
    ],
)
def test_roots(path: str, status: int, body: bytes | None) -> None:
    response = _router().handle(Request("GET", path))
    assert response.status == status
    if body is not None:
        assert response.body == body


def test_methods() -> None:
    allowed = _router().handle(Request("OPTIONS", "/dicom-web/studies"))
    assert (allowed.status, allowed.header("allow")) == (204, "GET, HEAD, OPTIONS")
    refused = _router().handle(Request("DELETE", "/dicom-web/studies"))
    assert (refused.status, refused.header("Allow")) == (405, "GET, HEAD, OPTIONS")
    assert _router().handle(Request("HEAD", "/dicom-web/studies")).status == 200
    assert _router().handle(Request("OPTIONS", "/elsewhere")).status == 404


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (errors.InvalidUid("StudyInstanceUID", "x"), 400, "StudyInstanceUID"),
        (errors.NotFound("no such study"), 404, "no such study"),
        (errors.NotAcceptable("image/png"), 406, "image/png"),
        (errors.PayloadTooLarge("big"), 413, "big"),
        (errors.RangeNotSatisfiable(7), 416, "7 bytes"),
        (errors.PacsFailure("x", "no", 0xA700), 502, "0xA700"),
        (errors.RetrieveIncomplete("x", 1, 2), 502, "1 of the 2"),
        (errors.PacsUnavailable("x", "down"), 503, "'x': down"),
        (errors.PacsTimeout("x", "slow"), 504, "'x': slow"),
        (errors.ArchiveFull("full"), 507, "full"),
        (KeyError("secret of the inside"), 500, "internal error"),
        (RecursionError(), 400, "nested"),
    ],
)
def test_errors_are_answers(raised: BaseException, status: int, said: str) -> None:
    def fail(request: Request) -> Response:
        raise raised

    response = Router({"/x/": fail}).handle(Request("GET", "/x/"))
    assert response.status == status
    assert response.header("Content-Type") == "application/json"
    assert isinstance(response.body, bytes)
    answer = json.loads(response.body)
    assert answer["status"] == status
    assert said in answer["error"]
    assert "secret" not in answer["error"]


def test_a_range_outside_says_how_much_there_is() -> None:
    response = error_response(errors.RangeNotSatisfiable(7))
    assert response.header("Content-Range") == "bytes */7"


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [
        ("bytes=1-2", 206, b"bc"),
        ("bytes=-2", 206, b"ef"),
        ("bytes=4-99", 206, b"ef"),
        ("bytes=", 200, b"abcdef"),
        ("bytes=-", 200, b"abcdef"),
        ("bytes=0-1,3-4", 200, b"abcdef"),
        (f"bytes={'9' * 5000}-", 200, b"abcdef"),
        ("bytes=²-", 200, b"abcdef"),
        ("lines=1-2", 200, b"abcdef"),
        ("bytes=6-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-2", 416, None),
    ],
)
def test_byte_ranges(header: str, status: int, body: bytes | None) -> None:
    def handle(request: Request) -> Response:
        return with_range(request, (), b"abcdef")

    request = Request("GET", "/x/", headers={"range": header})
    response = Router({"/x/": handle}).handle(request)
    assert response.status == status
    if body is not None:
        assert response.body == body


def test_a_range_of_another_version_gets_the_whole() -> None:
    headers = {"range": "bytes=1-2", "if-range": '"some-etag"'}
    request = Request("GET", "/x/", headers=headers)
    assert with_range(request, (), b"abcdef").status == 200


def test_unauthorized_says_how() -> None:
    response = error_response(errors.Unauthorized("who?"))
    assert response.header("WWW-Authenticate") == 'Basic realm="Orthanc Secure Area"'
