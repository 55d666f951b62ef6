"""One table of roots, and the one edge where errors become answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from farsight.errors import (
    FarsightError,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    Unauthorized,
)
from farsight.web.credentials import CHALLENGE
from farsight.web.messages import Request, Response

LOG = logging.getLogger("farsight.web")

Handler = Callable[[Request], Response]
#: What answers a request without blocking, or not at all.
AtOnce = Callable[[Request], Response | None]
R = TypeVar("R", bound=Response | None)
_METHODS = ("GET", "HEAD", "OPTIONS")
_POST_METHODS = ("POST", "OPTIONS")


class Router:
    """Finds the handler of a request by the root its path begins with. Never raises."""

    def __init__(
        self,
        roots: Mapping[str, Handler],
        posts: Collection[str] = (),
        at_once: Mapping[str, AtOnce] | None = None,
        options: Mapping[str, Handler] | None = None,
    ) -> None:
        """`roots`: "/dicom-web/" -> handler, both slashes there. `posts`: paths that take POST.

        `options`: paths that have more to say to OPTIONS than which methods they take.
        """
        self._options = dict(options or {})
        self._roots = dict(roots)
        self._at_once = dict(at_once or {})
        self._posts = frozenset(posts)

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

    def _dispatch(self, request: Request) -> Response:
        path = request.path
        for root, handler in self._roots.items():
            if path == root[:-1]:  # Orthanc's port can't tell the two apart, nor redirect
                request = replace(request, path=root)
            if request.path.startswith(root):
                methods = _POST_METHODS if request.path in self._posts else _METHODS
                if request.method == "OPTIONS":
                    return self._capabilities(request, methods)
                if request.method not in methods:
                    raise MethodNotAllowed(request.method, methods)
                return handler(request)
        raise NotFound("there is nothing here")

    def _capabilities(self, request: Request, methods: tuple[str, ...]) -> Response:
        """A preflight of a browser wants no document (Fetch, CORS-preflight request)."""
        allow = ("Allow", ", ".join(methods))
        describe = self._options.get(request.path)
        if describe is None or "access-control-request-method" in request.headers:
            return Response(204, (allow,))
        return describe(request).with_headers(allow)


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
    if isinstance(error, Unauthorized):
        return response.with_headers(("WWW-Authenticate", CHALLENGE))
    return response


def _error(status: int, message: str) -> Response:
    text = json.dumps({"status": status, "error": message}, ensure_ascii=False)
    # A message may repeat what the client sent, and that needn't be text.
    body = text.encode("utf-8", "replace")
    return Response(status, (("Content-Type", "application/json"),), body)
