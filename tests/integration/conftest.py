"""Farsight in a real Orthanc before a real PACS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orthanc_process import OrthancProcess, free_port, gateway_configuration
from pacs_peers import PEERS, Peer


@dataclass(frozen=True)
class Site:
    """One gateway and its PACS. `doors`: base URLs, the full door first."""

    gateway: OrthancProcess
    peer: Peer

    @property
    def doors(self) -> tuple[str, str]:
        return self.gateway.full_door_url, self.gateway.url


StartSite = Callable[..., Site]


@pytest.fixture(scope="module")
def start_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartSite]:
    """Starts sites; all are stopped when the module's tests are through."""
    with ExitStack() as stack:

        def start(
            kind: str,
            files: list[Path],
            *,
            pacs: dict[str, Any] | None = None,
            farsight: dict[str, Any] | None = None,
            peer_options: dict[str, Any] | None = None,
            **orthanc: Any,
        ) -> Site:
            directory = tmp_path_factory.mktemp("site")
            dicom_port = free_port()
            peer = stack.enter_context(
                PEERS[kind](directory / "pacs", files, dicom_port, **(peer_options or {}))
            )
            modality = {"AET": "PACS", "Host": "127.0.0.1", "Port": peer.port}
            section = {"Pacs": {"pacs": pacs or {}}, **(farsight or {})}
            configuration = gateway_configuration(
                {"pacs": modality}, section, DicomPort=dicom_port, **orthanc
            )
            gateway = OrthancProcess(directory / "gateway", configuration)
            gateway.start()
            stack.callback(gateway.stop)
            return Site(gateway, peer)

        yield start
