"""Farsight in a real Orthanc before a real PACS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from free_ports import free_port
from orthanc_process import OrthancProcess, gateway_configuration
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
StartGateway = Callable[..., OrthancProcess]


@contextmanager
def _gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    with ExitStack() as stack:

        def start(
            pacs_port: int,
            *,
            dicom_port: int | None = None,
            ae_title: str = "PACS",
            other_pacs_port: int | None = None,
            pacs: dict[str, Any] | None = None,
            farsight: dict[str, Any] | None = None,
            **orthanc: Any,
        ) -> OrthancProcess:
            modality = {"AET": ae_title, "Host": "127.0.0.1", "Port": pacs_port}
            modalities, chosen = {"pacs": modality}, {"pacs": pacs or {}}
            if other_pacs_port is not None:
                modalities["other"] = {**modality, "Port": other_pacs_port}
                chosen["other"] = {}
            configuration = gateway_configuration(
                modalities,
                {"Pacs": chosen, **(farsight or {})},
                DicomPort=dicom_port or free_port(),
                **orthanc,
            )
            gateway = OrthancProcess(tmp_path_factory.mktemp("gateway"), configuration)
            gateway.start()
            stack.callback(gateway.stop)
            return gateway

        yield start


@pytest.fixture
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """Starts gateways before a PACS that listens already; all are stopped after the test."""
    with _gateways(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="module")
def start_gateway_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """The same; all are stopped when the module's tests are through."""
    with _gateways(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="module")
def start_site(
    tmp_path_factory: pytest.TempPathFactory, start_gateway_for_module: StartGateway
) -> Iterator[StartSite]:
    """Starts sites; all are stopped when the module's tests are through."""
    with ExitStack() as stack:

        def start(
            kind: str,
            files: list[Path],
            *,
            peer_options: dict[str, Any] | None = None,
            **options: Any,
        ) -> Site:
            dicom_port = free_port()
            peer = stack.enter_context(
                PEERS[kind](
                    tmp_path_factory.mktemp("site") / "pacs",
                    files,
                    dicom_port,
                    **(peer_options or {}),
                )
            )
            gateway = start_gateway_for_module(peer.port, dicom_port=dicom_port, **options)
            return Site(gateway, peer)

        yield start
