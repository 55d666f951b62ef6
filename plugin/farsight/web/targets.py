"""What a path names, as the services take it, and what its client accepts."""

from __future__ import annotations

from functools import lru_cache

from farsight.model import InstanceRef, SeriesRef
from farsight.ps318.accept import Accept, parse_accept
from farsight.ps318.media_type import Offer, choose_frames, choose_rendered
from farsight.ps318.resource_path import ResourcePath
from farsight.web.messages import Request


def study_of(path: ResourcePath) -> str:
    assert path.study_instance_uid is not None
    return path.study_instance_uid


def series_of(path: ResourcePath) -> SeriesRef:
    assert path.series_instance_uid is not None
    return SeriesRef(study_of(path), path.series_instance_uid)


def instance_of(path: ResourcePath) -> InstanceRef:
    assert path.series_instance_uid is not None
    assert path.sop_instance_uid is not None
    return InstanceRef(study_of(path), path.series_instance_uid, path.sop_instance_uid)


def accept_of(request: Request) -> Accept:
    """From the header and the query parameter (PS3.18 8.7.5, 8.3.3.1)."""
    return _parsed(request.headers.get("accept"), accept_values(request))


def accept_values(request: Request) -> tuple[str, ...]:
    """Of the query parameter `accept`."""
    return tuple(value for name, value in request.query if name == "accept")


@lru_cache(maxsize=256)
def _parsed(header: str | None, values: tuple[str, ...]) -> Accept:
    """Clients say the same with every request."""
    return parse_accept(header, values)


@lru_cache(maxsize=256)
def rendered_offer(header: str | None, values: tuple[str, ...], offers: tuple[Offer, ...]) -> Offer:
    """As choose_rendered, from the header and the query parameter. Raises: NotAcceptable."""
    return choose_rendered(_parsed(header, values), offers)


@lru_cache(maxsize=1024)
def frames_offer(
    header: str | None,
    values: tuple[str, ...],
    transfer_syntax_uid: str,
    others: tuple[str, ...],
    *,
    single_part: bool,
) -> Offer:
    """As choose_frames, from the header and the query parameter. Raises: NotAcceptable."""
    return choose_frames(
        _parsed(header, values), transfer_syntax_uid, single_part=single_part, others=others
    )
