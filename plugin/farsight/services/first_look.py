"""What a PACS lists already under the names of what is about to be sent to it.

A PACS may answer a C-STORE with success and keep what it had under that name, so that what it
lists or commits to afterwards tells nothing of the content. Laws: what isn't there before the
first sending, and is afterwards, is what was sent. That is noted before anything is sent, so that
it is known after a crash too. Silence is waited out; a PACS that answers, but not this, is sent to
without it, and then what it lists proves nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from farsight.dimse.status import is_out_of_resources
from farsight.errors import PacsError, PacsFailure, PacsRefusedService
from farsight.model import Attributes, IdentifierKey, Level, SeriesRef
from farsight.ports.outbox import Outbox, Parcel
from farsight.ports.pacs import Pacs

LOG = logging.getLogger("farsight.forward")

_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
#: A PACS that can't be asked isn't asked again before.
_NOT_ASKED_S = 600.0


class FirstLook:
    """At one PACS, by one thread."""

    def __init__(self, outbox: Outbox, pacs: Pacs, now: Callable[[], float]) -> None:
        """`now`: seconds since the epoch."""
        self._outbox = outbox
        self._pacs = pacs
        self._now = now
        self._was_silent = False
        self._not_until = 0.0
        #: Numbers of parcels looked for in this run. What an earlier one looked for it may have
        #: sent as well, just before its end.
        self._looked_for: set[int] = set()

    def look(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """The same with what is known of them: one question for each series of which there are
        some never looked for. Raises: PacsError where the PACS is silent, OutboxError."""
        known = {parcel.number: parcel for parcel in parcels}
        of_series: dict[SeriesRef, list[Parcel]] = {}
        for parcel in parcels:
            if parcel.listed_before is None:
                of_series.setdefault(parcel.what.ref.series, []).append(parcel)
        for series, some in of_series.items():
            listed = self._listed(series)
            if listed is None:
                continue
            for is_listed in (True, False):
                those = [p for p in some if (p.what.ref.sop_instance_uid in listed) is is_listed]
                if those:
                    self._outbox.looked_for([one.number for one in those], is_listed)
                    self._looked_for.update(one.number for one in those)
                    known |= {one.number: replace(one, listed_before=is_listed) for one in those}
                if those and is_listed:
                    what = f"{len(those)} instances of series {series.series_instance_uid}"
                    LOG.warning("%s has %s already: what is here stays", self._pacs.name, what)
        return list(known.values())

    def forget(self, parcels: Sequence[Parcel]) -> None:
        """These were not sent after all: it may have others of their names by then. What is known
        of those that a run before this one may have sent stays known.

        Raises: OutboxError.
        """
        mine = [one for one in parcels if one.number in self._looked_for]
        absent = [one.number for one in mine if one.listed_before is False]
        if absent:
            self._outbox.looked_for(absent, None)
            self._looked_for.difference_update(absent)

    def settled(self, parcel: Parcel) -> None:
        """It was sent, or never will be."""
        self._looked_for.discard(parcel.number)

    def _listed(self, series: SeriesRef) -> set[str] | None:
        """None: it can't be asked. Raises: PacsError where it is silent."""
        if 0 < self._not_until - self._now() <= _NOT_ASKED_S:
            return None
        listed: set[str] | None = None
        try:
            listed = listed_in(self._pacs, series)
        except PacsError as error:
            if _is_silence(error):
                listed = self._listed_after(error, series)
            else:
                self._unanswered(error, for_now=not isinstance(error, PacsRefusedService))
        self._was_silent = False
        return listed

    def _listed_after(self, error: PacsError, series: SeriesRef) -> set[str] | None:
        """Once more where it was silent before this, too, and answers otherwise."""
        was_silent, self._was_silent = self._was_silent, True
        if not was_silent:
            raise error
        self._pacs.echo()
        try:
            return listed_in(self._pacs, series)
        except PacsError as another:
            self._unanswered(another, for_now=False)
            return None

    def _unanswered(self, error: PacsError, *, for_now: bool) -> None:
        LOG.warning("can't be asked what it has before it is sent to: %s", error)
        if not for_now:
            self._not_until = self._now() + _NOT_ASKED_S


def _is_silence(error: PacsError) -> bool:
    """No answer, none that can be read, or none yet."""
    if isinstance(error, PacsRefusedService):
        return False
    return error.dimse_status is None or is_out_of_resources(error.dimse_status)


def listed_in(pacs: Pacs, series: SeriesRef) -> set[str]:
    """SOP Instance UIDs, by C-FIND at IMAGE level. Raises: PacsError."""
    keys = (
        IdentifierKey(_STUDY, "UI", series.study_instance_uid),
        IdentifierKey(_SERIES, "UI", series.series_instance_uid),
        IdentifierKey(_INSTANCE, "UI"),
    )
    found: set[str] = set()
    for row in pacs.find(Level.IMAGE, keys):
        if any(_text(row, key.tag) not in ("", key.value) for key in keys[:2]):
            continue
        uid = _text(row, _INSTANCE)
        if not uid:
            raise PacsFailure(pacs.name, "lists instances without their SOPInstanceUID")
        found.add(uid)
    return found


def _text(row: Attributes, tag: str) -> str:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")
