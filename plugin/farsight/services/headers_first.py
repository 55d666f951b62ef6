"""Headers before pixels: the metadata of a series while its images are still on their way.

Where a PACS offers instances without their bulk data (PS3.4 Z) the headers of a whole series come
in the time of a few images. What they lack is known: of a plain image the Pixel Data alone, whose
BulkDataURI can be told all the same. A series with anything else in it waits for its instances.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import MalformedDicom, PacsError
from farsight.model import ReceivedInstance, SeriesRef
from farsight.ports.pacs import Pacs
from farsight.services.presence import Presence
from farsight.services.series_flight import SeriesFlight

LOG = logging.getLogger("farsight.retrieve")
_ROWS, _BITS_ALLOCATED, _WAVEFORMS = 0x00280010, 0x00280100, 0x54000100


class HeadersFirst:
    """Thread-safe; calls block."""

    def __init__(self, sources: Sequence[Pacs], wait_s: float) -> None:
        self._sources = {source.name: source for source in sources}
        self._wait_s = wait_s

    @property
    def may_help(self) -> bool:
        return any(source.sends_headers for source in self._sources.values())

    def of(self, flight: SeriesFlight, presence: Presence) -> list[DicomObject] | None:
        """The headers of everything the flight expects; None where they can't all be had.

        Raises: ClientGone.
        """
        expected = flight.wait_expected(self._wait_s, presence)
        source = self._sources.get(flight.source)
        if expected is None or source is None or not source.sends_headers or not flight.lacks():
            return None
        if flight.doubt:
            return None  # that has to be said, with what comes
        found: dict[str, DicomObject] = {}

        def take(received: ReceivedInstance) -> None:
            try:
                header = parse_object(received.part10)
            except MalformedDicom as error:
                LOG.info("header of %s: %s", received.sop_instance_uid, error)
                return
            if _is_of(header, flight.series) and _is_plain_image(header):
                found[header.sop_instance_uid] = header

        classes = set(expected.instances.values())
        known = () if "" in classes else tuple(sorted(classes))
        try:
            source.headers(tuple(sorted(expected.instances)), known, take)
        except PacsError as error:
            LOG.warning("headers of series %s: %s", flight.series.series_instance_uid, error)
            return None
        if not found or found.keys() != expected.instances.keys():
            return None
        return list(found.values())


def _is_of(header: DicomObject, series: SeriesRef) -> bool:
    uids = (header.study_instance_uid, header.series_instance_uid)
    return uids == (series.study_instance_uid, series.series_instance_uid)


def _is_plain_image(header: DicomObject) -> bool:
    """Whether the Pixel Data is all that was left out (PS3.4 table Z.1-1).

    Overlays, curves, waveforms and spectra, and pixels in floating point, are what else may be
    missing; nobody could tell which of them there were.
    """
    bits = header.number(_BITS_ALLOCATED)
    if _ROWS not in header.elements or bits not in (1, 8, 16) or _WAVEFORMS in header.elements:
        return False
    groups = {tag >> 16 for tag in header.elements}
    return not any(g in (0x5600, 0x7FE0) or g >> 8 in (0x50, 0x60) for g in groups if g % 2 == 0)
