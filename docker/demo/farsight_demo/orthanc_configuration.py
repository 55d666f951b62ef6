"""Orthanc's configuration for the demo's two servers: the gateway, and the PACS behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from farsight_demo.run_settings import DEMO_AE_TITLE, DEMO_NAME, RemotePacs, RunSettings

GATEWAY_AE_TITLE = "FARSIGHT"
LOADER_AE_TITLE = "LOADER"
PYTHON_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPython.so")

Configuration = dict[str, Any]


def remote_pacs(settings: RunSettings) -> tuple[RemotePacs, ...]:
    """The PACS that the gateway asks: those named, or the demo's own."""
    demo = RemotePacs(DEMO_NAME, DEMO_AE_TITLE, "127.0.0.1", settings.demo_pacs_port)
    return settings.pacs or (demo,)


def gateway_configuration(settings: RunSettings, plugin: Path, ohif_dist: Path) -> Configuration:
    """Orthanc with Farsight in front of the PACS.

    Only the PACS may send to it; Orthanc can't listen for DIMSE on the loopback address alone.
    """
    pacs = remote_pacs(settings)
    storage = str(settings.state_directory / "gateway")
    configuration: Configuration = {
        "Name": "Farsight",
        "HttpPort": settings.http_port,
        "RemoteAccessAllowed": not settings.loopback,
        "AuthenticationEnabled": bool(settings.user),
        "DicomPort": settings.dicom_port,
        "DicomAet": GATEWAY_AE_TITLE,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": not settings.pacs,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        "Plugins": [str(PYTHON_PLUGIN)],
        "PythonScript": str(plugin / "farsight_plugin.py"),
        "PythonVerbose": False,
        "Python": {"AllowThreads": True},
        "DicomModalities": {
            one.name: {"AET": one.ae_title, "Host": one.host, "Port": one.port} for one in pacs
        },
        "Farsight": {
            "Root": "/dicom-web/",
            "Http": {"Bind": settings.bind, "Port": settings.web_port},
            "Pacs": {
                one.name: {"Retrieve": settings.retrieve, "MaxAssociations": 3} for one in pacs
            },
            "Stow": {"ForwardTo": list(settings.forward_to)},
            "Ohif": {"Directory": str(ohif_dist)},
        },
    }
    if settings.user:
        configuration["RegisteredUsers"] = {settings.user: settings.password}
    return configuration


def pacs_configuration(
    storage: Path, port: int, gateway_host: str, gateway_port: int, *, check_hosts: bool = True
) -> Configuration:
    """An Orthanc as a PACS of the old kind: DIMSE only, no HTTP, no plugin."""
    return {
        "Name": "Demo PACS",
        "DefaultEncoding": "Utf8",  # of its C-FIND answers: Latin1, the default, loses names
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAet": DEMO_AE_TITLE,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": check_hosts,
        "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False,
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "Plugins": [],
        "DicomModalities": {
            "farsight": {"AET": GATEWAY_AE_TITLE, "Host": gateway_host, "Port": gateway_port},
            "loader": {"AET": LOADER_AE_TITLE, "Host": "127.0.0.1", "Port": 104},
        },
    }
