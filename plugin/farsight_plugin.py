"""Farsight's entry into Orthanc: "PythonScript" names this file. Only it has effects on import."""

import json
import os
import sys
from typing import Any

# Read by DCMTK inside Orthanc when it opens its first socket: C-STORE into Orthanc is five times
# as fast with it.
os.environ.setdefault("TCP_NODELAY", "1")

import orthanc

from farsight import startup_checks

startup_checks.check_sdk(dir(orthanc))
startup_checks.check_packages()

from farsight.gateway import Gateway  # noqa: E402  (the packages it needs are there now)

# A thread that waits for the interpreter waits a fifth of the usual time: an image that is asked
# for while a study comes is answered between two of its instances.
sys.setswitchinterval(0.001)

_GATEWAY = Gateway(json.loads(orthanc.GetConfiguration()))


def on_change(change_type: Any, level: Any, resource_id: str) -> None:
    """Orthanc's events; a module-level function, because a bound method crashes its shutdown."""
    if change_type == orthanc.ChangeType.NEW_INSTANCE:
        _GATEWAY.archive.instance_added(resource_id)
    elif change_type == orthanc.ChangeType.DELETED and level == orthanc.ResourceType.INSTANCE:
        _GATEWAY.archive.instance_removed(resource_id)
    elif change_type == orthanc.ChangeType.ORTHANC_STARTED:
        _GATEWAY.started()
    elif change_type == orthanc.ChangeType.ORTHANC_STOPPED:
        _GATEWAY.stopped()


def on_incoming(instance: Any) -> int:
    """The DIMSE status for what a modality sends; what fails is refused, never lost."""
    return _GATEWAY.status_for_incoming(instance.GetInstanceRemoteAet(), instance.GetInstanceData())


orthanc.RegisterOnChangeCallback(on_change)
if _GATEWAY.may_look_at_incoming:
    orthanc.RegisterIncomingCStoreInstanceFilter(on_incoming)
