"""A plugin for tests: Orthanc's storage commitment behind the Commitments port, over HTTP.

POST /commitments/<method> with a JSON list of arguments; the answer is {"result": …} or
{"error": name of the class, "says": its text}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import orthanc

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from farsight.adapters.orthanc_commitment import OrthancCommitments
from farsight.errors import FarsightError

_COMMITMENTS = OrthancCommitments(timeout_s=1)


def _call(method: str, arguments: list[Any]) -> Any:
    if method == "request":
        return _COMMITMENTS.request(arguments[0], [tuple(one) for one in arguments[1]])
    told = _COMMITMENTS.report(arguments[0])
    return None if told is None else [sorted(told.committed), dict(told.failed)]


def on_request(output: Any, uri: str, **request: Any) -> None:
    """The callback."""
    try:
        method = uri.removeprefix("/commitments/")
        answer = {"result": _call(method, json.loads(request["body"]))}
    except FarsightError as error:
        answer = {"error": type(error).__name__, "says": str(error)}
    output.AnswerBuffer(json.dumps(answer), "application/json")


orthanc.RegisterRestCallback("/commitments/(.*)", on_request)
