"""The Orthanc door: REST callbacks on Orthanc's own port.

Obeys what the SDK can't do: callbacks are module-level functions (a bound method crashes
Orthanc at shutdown), all but the quickest answers are made on our own threads (Orthanc's have
100 kB of stack), HEAD and OPTIONS never get here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

import orthanc

from farsight.errors import FarsightError
from farsight.services.presence import Presence
from farsight.web.base_url import BaseUrl
from farsight.web.messages import Request
from farsight.web.orthanc_answers import OrthancAnswers
from farsight.web.routes import Router, error_response
from farsight.web.worker_pool import WorkerPool

LOG = logging.getLogger("farsight.web")
PROBE = "/farsight/probe"
#: Compresses nothing unless it is told to; what earlier ones do by themselves is left to them.
_COMPRESSES_ON_DEMAND = (1, 12, 7)


class _Door:
    """What the callbacks need; they are functions, so it is kept in this module."""

    router: Router
    pool: WorkerPool
    base_url: BaseUrl
    answers: OrthancAnswers
    not_heard: tuple[str, ...]
    decodes_query = False


def mount(
    router: Router, pool: WorkerPool, base_url: BaseUrl, configuration: Mapping[str, Any]
) -> None:
    """Registers one callback per root. To be called once, while the script loads.

    `configuration`: Orthanc's.
    """
    _Door.router, _Door.pool, _Door.base_url = router, pool, base_url
    _Door.answers = OrthancAnswers(pool)
    by_default = not is_at_least(*_COMPRESSES_ON_DEMAND)
    compresses = bool(configuration.get("HttpCompressionEnabled", by_default))
    # Where Orthanc compresses, it does so with what is compressed already. The SDK has no 206.
    _Door.not_heard = ("accept-encoding", "range") if compresses else ("range",)
    orthanc.RegisterRestCallback(PROBE, answer_probe)
    for root in router.roots:
        orthanc.RegisterRestCallback(f"{root}(.*)", answer_request)
        orthanc.RegisterRestCallback(root[:-1], answer_request)


def can_stream() -> bool:
    """Whether this SDK can send an answer chunk by chunk (python plugin 5.0 and later)."""
    return hasattr(orthanc.RestOutput, "StartStreamAnswer")


def is_at_least(major: int, minor: int, revision: int) -> bool:
    """Whether this is that version of Orthanc, or a later one."""
    return bool(orthanc.CheckVersionAdvanced(major, minor, revision))


def configuration_path() -> str:
    """The file or directory that Orthanc was started with."""
    return str(orthanc.GetConfigurationPath())


def probe_query_decoding() -> None:
    """Finds out whether this SDK percent-decodes query values; to be called once started."""
    seen = orthanc.RestApiGetAfterPlugins(f"{PROBE}?value=%2541")
    _Door.decodes_query = bytes(seen) == b"%41"


def answer_probe(output: Any, uri: str, **request: Any) -> None:  # noqa: ARG001
    """Tells the probe how the SDK hands query values over."""
    output.AnswerBuffer(str(request.get("get", {}).get("value", "")), "text/plain")


def answer_request(output: Any, uri: str, **request: Any) -> None:
    """The callback of every root. Runs on a thread of Orthanc's; nothing deep happens here.

    Nothing but AnswerBrokenOff leaves it: the plugin never lets go of the traceback of what does,
    nor of anything that the frames on the way held. Before an answer has begun Orthanc makes a
    500 of it; afterwards it ends the connection without an end of the answer.
    """
    whole = _answer(output, uri, request)
    request.clear()
    if not whole:
        raise AnswerBrokenOff


class AnswerBrokenOff(Exception):
    """The answer can't be finished; why is in the log."""


def _answer(output: Any, uri: str, request: Mapping[str, Any]) -> bool:
    """False where the answer could not be finished."""
    presence = Presence()
    try:
        try:
            asked = _read(uri, request, presence)
            # Two turns to another thread are saved, each a wait for the interpreter. What is
            # answered so is little: a test does it on half the stack that these threads have.
            response = _Door.router.at_once(asked)
            if response is None:
                response = _Door.pool.run(lambda: _Door.router.handle(asked))
        except FarsightError as error:
            response = error_response(error)
        _Door.answers.send(output, response)
    except orthanc.OrthancException as error:
        LOG.info("the client has left: %s", error)
    except FarsightError as error:
        LOG.warning("an answer ended early: %s", error)
        return False
    except Exception:  # the edge: see answer_request
        LOG.exception("internal error")
        return False
    finally:
        presence.over()
    return True


def _decoded(text: str) -> str:
    """What isn't UTF-8 is refused where it is read, by the parameter's name."""
    return unquote_plus(text, errors="surrogateescape")


def _read(uri: str, request: Mapping[str, Any], presence: Presence) -> Request:
    given = request.get("get", {})
    decode = (lambda text: text) if _Door.decodes_query else _decoded
    query = tuple((decode(name), decode(value)) for name, value in given.items())
    headers, base_url = _head(tuple(request.get("headers", {}).items()))
    return Request(
        method=str(request.get("method", "GET")),
        path=uri,
        query=query,
        headers=headers,
        body=request.get("body") or b"",
        base_url=base_url,
        presence=presence,
    )


@lru_cache(maxsize=200)
def _head(given: tuple[tuple[str, str], ...]) -> tuple[Mapping[str, str], str]:
    """Headers, and what our URLs begin with. A viewer sends the same with every request."""
    headers = {name.lower(): value for name, value in given}
    for name in _Door.not_heard:
        headers.pop(name, None)
    return headers, _Door.base_url.of(headers, "")
