"""Whose C-STOREs bring cache, and whose bring data."""

from __future__ import annotations

from farsight.model import SeriesRef
from farsight.pacs_wiring import said_of_pacs
from farsight.services.pacs_senders import PacsSenders
from farsight.settings_pacs import PacsSettings

ONE, TWO = SeriesRef("1", "1.1"), SeriesRef("1", "1.2")


def test_who_is_called_a_pacs_sends_cache() -> None:
    senders = PacsSenders({"PACS ": "main"})
    assert senders.name_of("PACS", ONE) == senders.name_of(" PACS ", TWO) == "main"
    assert senders.name_of("CT", ONE) == ""


def test_who_is_not_sends_cache_when_it_was_asked() -> None:
    """It may be a scanner: what that sends may be nowhere else."""
    senders = PacsSenders({}, {"CT": ("ct", lambda series: series == ONE)})
    assert senders.name_of("CT", ONE) == "ct"
    assert senders.name_of("CT", TWO) == ""


def test_the_log_says_so() -> None:
    named = PacsSettings("main", "PACS", "127.0.0.1", 104)
    implied = PacsSettings("ct", "CT", "127.0.0.1", 105, is_named=False)
    assert said_of_pacs([named]) == "PACS: main"
    assert said_of_pacs([]) == "PACS: none"
    assert "names none" in said_of_pacs([implied])
