"""How a PACS compares names, found out by asking for names it has (PS3.4 C.2.2.2 leaves much open).

Each is tried once, when a search first needs it, and again as long as the PACS has no name to try.
"""

from __future__ import annotations

import threading

from farsight.dimse.identifier import identifier_keys
from farsight.model import Attributes, Level
from farsight.ports.pacs import Pacs
from farsight.ps318.attribute_levels import PATIENT_NAME, STUDY_INSTANCE_UID
from farsight.ps318.matching import person_name_form, values_of

_ROWS = 20
_ROWS_WITH_LETTERS, _MOST_NAMES = 200, 10


class SearchProbes:
    """Of one PACS. Thread-safe: whoever comes while it is being tried waits for that."""

    def __init__(self, pacs: Pacs) -> None:
        self._pacs = pacs
        self._trying = threading.Lock()
        self._folds_case: bool | None = None
        self._finds_letters: bool | None = None

    def folds_case(self) -> bool:
        """Whether it is known not to tell capital letters in names apart. Raises: PacsError."""
        with self._trying:
            if self._folds_case is None:
                self._folds_case = self._try_capitals()
            return self._folds_case is True

    def misses_letters(self) -> bool:
        """Whether it is known not to find letters outside ASCII in any set it is asked in.

        Raises: PacsError.
        """
        with self._trying:
            if self._finds_letters is None:
                self._finds_letters = self._try_letters()
            return self._finds_letters is False

    def _try_capitals(self) -> bool | None:
        """None: no name to try."""
        name = next(filter(_turns_round, map(_alphabetic, self._names("", _ROWS))), None)
        if name is None:
            return None
        return all(self._finds(name, name.swapcase() + end) for end in ("", "*"))

    def _try_letters(self) -> bool | None:
        """Of several names: what was stored in UTF-8 may be found, and the rest not."""
        groups = dict.fromkeys(
            group
            for row in self._names("", _ROWS_WITH_LETTERS)
            for group in _groups(row)
            if not group.isascii() and "\ufffd" not in group
        )
        tried = list(groups)[:: max(1, len(groups) // _MOST_NAMES)]
        return all(map(self._finds_group, tried)) if tried else None

    def _finds(self, name: str, asked: str) -> bool:
        wanted = person_name_form(name)
        rows = self._names(asked, _ROWS)
        return any(person_name_form(_alphabetic(row)).startswith(wanted) for row in rows)

    def _finds_group(self, group: str) -> bool:
        return any(group in _groups(row) for row in self._names(f"*{group}*", _ROWS))

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
