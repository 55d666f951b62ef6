"""How a PACS compares names, found out by asking for names it has (PS3.4 C.2.2.2 leaves much open).

Each is tried when a search first needs it, and again after a while where the PACS had no name to
try, or didn't answer; until it is known, the PACS isn't trusted.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from farsight.dimse.identifier import identifier_keys
from farsight.errors import PacsError
from farsight.model import Attributes, Level
from farsight.ports.pacs import Pacs
from farsight.ps318.attribute_levels import PATIENT_NAME, STUDY_INSTANCE_UID
from farsight.ps318.matching import person_name_form, values_of

LOG = logging.getLogger("farsight.search")
_UNDECIDED_S = 600.0
_ROWS = 20
_ROWS_WITH_LETTERS, _MOST_NAMES = 200, 10


class SearchProbes:
    """Of one PACS. Thread-safe: whoever comes while it is being tried waits for that."""

    def __init__(self, pacs: Pacs) -> None:
        self._pacs = pacs
        self._trying = threading.Lock()
        self._answers: dict[str, tuple[float, bool | None]] = {}

    def folds_case(self) -> bool:
        """Whether it is known not to tell capital letters in patients' names apart."""
        return self._known("case", self._try_capitals)

    def finds_letters(self) -> bool:
        """Whether it is known to find letters outside ASCII, in a set it is asked in, capitals or
        not."""
        return self._known("letters", self._try_letters)

    def _known(self, what: str, find_out: Callable[[], bool | None]) -> bool:
        with self._trying:
            until, answer = self._answers.get(what, (0.0, None))
            if until <= time.monotonic():
                try:
                    answer = find_out()
                except PacsError as error:
                    LOG.info("%s; not trusted with %s", error, what)
                    answer = None
                life_s = _UNDECIDED_S if answer is None else math.inf
                self._answers[what] = (time.monotonic() + life_s, answer)
            return answer is True

    def _try_capitals(self) -> bool | None:
        """None: no name to try."""
        name = next(filter(_turns_round, map(_alphabetic, self._names("", _ROWS))), None)
        if name is None:
            return None
        return all(self._finds(name, name.swapcase() + end) for end in ("", "*"))

    def _try_letters(self) -> bool | None:
        """Of several names: what was stored in UTF-8 may be found, and the rest not."""
        rows = self._names("", _ROWS_WITH_LETTERS)
        groups = dict.fromkeys(group for row in rows for group in _groups(row))
        others = [group for group in groups if not group.isascii()]
        tried = others[:: max(1, len(others) // _MOST_NAMES)]
        if not tried:
            return None
        return all(self._finds_group(group) for group in tried)

    def _finds(self, name: str, asked: str) -> bool:
        wanted = person_name_form(name)
        rows = self._names(asked, _ROWS)
        return any(person_name_form(_alphabetic(row)).startswith(wanted) for row in rows)

    def _finds_group(self, group: str) -> bool:
        """A name that came with letters lost can't be found."""
        if "\ufffd" in group:
            return False
        wanted = person_name_form(group)
        for asked in dict.fromkeys((group, group.swapcase())):
            rows = self._names(f"*{asked}*", _ROWS)
            if not any(person_name_form(one) == wanted for row in rows for one in _groups(row)):
                return False
        return True

    def _names(self, asked: str, max_rows: int) -> list[Attributes]:
        keys = identifier_keys({PATIENT_NAME: asked, STUDY_INSTANCE_UID: ""})
        return list(self._pacs.find(Level.STUDY, keys, max_rows=max_rows))


def _groups(row: Attributes) -> list[str]:
    """The component groups of the patient's name."""
    names = [value for value in values_of(row.get(PATIENT_NAME)) if isinstance(value, dict)]
    return [str(group) for name in names for group in name.values()]


def _alphabetic(row: Attributes) -> str:
    for value in values_of(row.get(PATIENT_NAME)):
        return str(value.get("Alphabetic", "") if isinstance(value, dict) else value)
    return ""


def _turns_round(name: str) -> bool:
    """A name that becomes another and itself again when its capitals are swapped."""
    return name.swapcase() != name and name.swapcase().swapcase() == name and name.isascii()
