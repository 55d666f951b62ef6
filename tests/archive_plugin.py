"""A plugin for tests: Orthanc's store behind the Archive port, its methods called over HTTP.

POST /archive/<method> with a JSON list of arguments, bytes in base64 as {"bytes": …}, references
as lists of UIDs; the answer is {"result": …} or {"error": name of the class}.
"""

import base64
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orthanc

sys.path.insert(0, str(Path(__file__).parent.parent / "plugin"))

from farsight.adapters.orthanc_archive import OrthancArchive
from farsight.adapters.storage_area import StorageArea
from farsight.errors import FarsightError
from farsight.model import Completeness, InstanceRef, SeriesRef

_ARCHIVE = OrthancArchive(
    StorageArea(Path(json.loads(orthanc.GetConfiguration())["StorageDirectory"]))
)
_GONE: list[list[str]] = []
_ARCHIVE.listen(
    stored=lambda _ref: None,
    gone=lambda ref: _GONE.append(list(asdict(ref).values())),
)


def _value(given: Any) -> Any:
    if isinstance(given, dict) and "bytes" in given:
        return base64.b64decode(given["bytes"])
    if isinstance(given, dict):
        return Completeness(**given)
    if isinstance(given, list):
        return SeriesRef(*given) if len(given) == 2 else InstanceRef(*given)
    return given


def _told(result: Any) -> Any:
    if isinstance(result, bytes):
        return {"bytes": base64.b64encode(result).decode()}
    if isinstance(result, Completeness):
        return result.to_json()
    if isinstance(result, dict):
        return {key: sorted(value) for key, value in result.items()}
    return result


def _call(method: str, arguments: list[Any]) -> Any:
    if method == "gone":
        return _GONE
    if method == "describe":
        stored = _ARCHIVE.open(arguments[0])
        return [stored.identity, stored.size]
    if method == "piece":
        return _ARCHIVE.open(arguments[0]).read(*arguments[1:])
    return getattr(_ARCHIVE, method)(*arguments)


def on_request(output: Any, uri: str, **request: Any) -> None:
    """The callback."""
    arguments = [_value(given) for given in json.loads(request["body"])]
    try:
        answer = {"result": _told(_call(uri.removeprefix("/archive/"), arguments))}
    except FarsightError as error:
        answer = {"error": type(error).__name__}
    output.AnswerBuffer(json.dumps(answer), "application/json")


def on_change(change_type: Any, level: Any, resource_id: str) -> None:
    """Orthanc's events."""
    if change_type == orthanc.ChangeType.NEW_INSTANCE:
        _ARCHIVE.instance_added(resource_id)
    elif change_type == orthanc.ChangeType.DELETED and level == orthanc.ResourceType.INSTANCE:
        _ARCHIVE.instance_removed(resource_id)
    elif change_type == orthanc.ChangeType.ORTHANC_STOPPED:
        _ARCHIVE.close(3)


orthanc.RegisterRestCallback("/archive/(.*)", on_request)
orthanc.RegisterOnChangeCallback(on_change)
