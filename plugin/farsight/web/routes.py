"""One table of roots, and the one edge where errors become answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from farsight.errors import (
    FarsightError,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    Unauthorized,
    UploadsBusy,
)
from farsight.web.credentials import CHALLENGE
from farsight.web.messages import Request, Response

LOG = logging.getLogger("farsight.web")

Handler = Callable[[Request], Response]
#: What answers a request without blocking, or not at all.
AtOnce = Callable[[Request], Response | None]
R = TypeVar("R", bound=Response | None)
READING = ("GET", "HEAD", "OPTIONS")
#: The methods of what is at a path.
Methods = Callable[[str], tuple[str, ...]]


@runtime_checkable
class Checking(Protocol):
    """A handler that can tell from the head of a request that its body won't be wanted."""

    def check(self, request: Request) -> None:
        """Takes no time. Raises: FarsightError, as the handler itself would."""


class Router:
    """Finds the handler of a request by the root its path begins with. Never raises."""

    def __init__(
        self,
        roots: Mapping[str, Handler],
        methods: Mapping[str, Methods] | None = None,
        at_once: Mapping[str, AtOnce] | None = None,
        options: Mapping[str, Handler] | None = None,
        streams: Collection[str] = (),
    ) -> None:
        """`roots`: "/dicom-web/" -> handler, both slashes there. `methods`: of roots where
        something can be done besides reading.

        `options`: paths that have more to say to OPTIONS than which methods they take. `streams`:
        roots that read what is POSTed as it comes.
        """
        self._options = dict(options or {})
        self._roots = dict(roots)
        self._at_once = dict(at_once or {})
        self._methods = dict(methods or {})
        self._streams = frozenset(streams)

    @property
    def roots(self) -> tuple[str, ...]:
        return tuple(self._roots)

    def handle(self, request: Request) -> Response:
        """The answer, errors included; nothing of the inside is told. May block."""
        return _guarded(request, lambda: self._dispatch(request))

    def at_once(self, request: Request) -> Response | None:
        """The answer, errors included, where it can be given without blocking and in no time."""
        if request.method != "GET":
            return None
        for root, answer in self._at_once.items():
            if request.path.startswith(root):
                return _guarded(request, partial(answer, request))
        return None

    def takes_stream(self, method: str, path: str) -> bool:
        """Whether the body of such a request is read as it comes."""
        return method == "POST" and any(path.startswith(root) for root in self._streams)

    def check(self, request: Request) -> Response | None:
        """The error that is the answer whatever the body holds, None where there is none."""
        return _guarded(request, lambda: self._check(request))

    def _check(self, request: Request) -> None:
        request, root = self._rooted(request)
        handler = self._roots[root]
        if request.method != "OPTIONS":
            _check_method(request, self._methods_of(root, request.path))
            if isinstance(handler, Checking):
                handler.check(request)

    def _dispatch(self, request: Request) -> Response:
        request, root = self._rooted(request)
        methods = self._methods_of(root, request.path)
        if request.method == "OPTIONS":
            return self._capabilities(request, methods)
        _check_method(request, methods)
        return self._roots[root](request)

    def _rooted(self, request: Request) -> tuple[Request, str]:
        """The request with the root its path begins with. Raises: NotFound."""
        for root in self._roots:
            if request.path == root[:-1]:  # Orthanc's port can't tell the two apart, nor redirect
                return replace(request, path=root), root
            if request.path.startswith(root):
                return request, root
        raise NotFound("there is nothing here")

    def _methods_of(self, root: str, path: str) -> tuple[str, ...]:
        methods = self._methods.get(root)
        return READING if methods is None else methods(path)

    def _capabilities(self, request: Request, methods: tuple[str, ...]) -> Response:
        """A preflight of a browser wants no document (Fetch, CORS-preflight request)."""
        allow = ("Allow", ", ".join(methods))
        describe = self._options.get(request.path)
        if describe is None or "access-control-request-method" in request.headers:
            return Response(204, (allow,))
        return describe(request).with_headers(allow)


def _check_method(request: Request, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(request.method, methods)


def _guarded(request: Request, answer: Callable[[], R]) -> R | Response:
    try:
        return answer()
    except FarsightError as error:
        if error.status >= 500:
            LOG.warning("%s %s: %s", request.path[:400], error.status, error)  # UIDs, no query
        return error_response(error)
    except RecursionError:
        return _error(400, "the request is nested too deeply")
    except Exception:  # the one edge: a bug must not take the door down or tell of the inside
        LOG.exception("internal error")
        return _error(500, "internal error")


def error_response(error: FarsightError) -> Response:
    """The answer for an error: its status, and a JSON body that says what is wrong."""
    response = _error(error.status, str(error))
    if isinstance(error, MethodNotAllowed):
        return response.with_headers(("Allow", ", ".join(error.allowed)))
    if isinstance(error, RangeNotSatisfiable):  # RFC 9110 14.4
        return response.with_headers(("Content-Range", f"bytes */{error.size}"))
    if isinstance(error, UploadsBusy):
        return response.with_headers(("Retry-After", str(error.retry_after_s)))
    if isinstance(error, Unauthorized):
        return response.with_headers(("WWW-Authenticate", CHALLENGE))
    return response


def _error(status: int, message: str) -> Response:
    text = json.dumps({"status": status, "error": message}, ensure_ascii=False)
    # A message may repeat what the client sent, and that needn't be text.
    body = text.encode("utf-8", "replace")
    return Response(status, (("Content-Type", "application/json"),), body)
