"""In which character sets a PACS is asked, and how its answers are read (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.scripted_pacs import ScriptedPacs, scripted_pacs
from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.pacs_address import PacsAddress
from farsight.errors import PacsFailure
from farsight.model import Attributes, IdentifierKey, Level
from sample_files import ct_slice, study_uid

NAME = "00100010"
ASCII, GERMAN, JAPANESE = "Muster*", "*ü*", "山田*"
LATIN_1, KANJI = "ISO_IR 100", r"\ISO 2022 IR 87"


def pacs_at(scripted: ScriptedPacs, character_set: str = "") -> DimsePacs:
    return DimsePacs(
        PacsAddress(
            "pacs", "PACS", "127.0.0.1", scripted.port, "FARSIGHT", character_set=character_set
        )
    )


def rows(pacs: DimsePacs, name: str) -> list[Attributes]:
    keys = (IdentifierKey(NAME, "PN", name), IdentifierKey("0020000D", "UI", study_uid()))
    return list(pacs.find(Level.STUDY, keys))


@pytest.fixture
def scripted() -> Iterator[ScriptedPacs]:
    with scripted_pacs([ct_slice(1)]) as running:
        yield running


@pytest.mark.parametrize(
    ("character_set", "name", "asked_in"),
    [
        ("", ASCII, ["ISO_IR 192"]),
        ("", GERMAN, ["ISO_IR 192"]),
        (LATIN_1, ASCII, ["ISO_IR 192"]),
        (LATIN_1, GERMAN, ["ISO_IR 192", LATIN_1]),
        (LATIN_1, JAPANESE, ["ISO_IR 192"]),
        (KANJI, JAPANESE, ["ISO_IR 192", ["", "ISO 2022 IR 87"]]),
        (KANJI, GERMAN, ["ISO_IR 192"]),
    ],
)
def test_in_utf_8_and_then_in_its_own_set(
    scripted: ScriptedPacs, character_set: str, name: str, asked_in: list[object]
) -> None:
    found = rows(pacs_at(scripted, character_set), name)
    assert scripted.character_sets == asked_in
    assert len(found) == 1, "what both find is one row"


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0106])
def test_a_pacs_that_refuses_utf_8_is_asked_without_it(scripted: ScriptedPacs, status: int) -> None:
    scripted.script.refuses_utf_8 = status
    pacs = pacs_at(scripted, LATIN_1)
    assert len(rows(pacs, ASCII)) == 1
    assert len(rows(pacs, ASCII)) == 1
    assert len(rows(pacs, GERMAN)) == 1
    assert scripted.character_sets == ["ISO_IR 192", LATIN_1, LATIN_1, LATIN_1]


def test_without_a_set_of_its_own_it_is_asked_in_ascii(scripted: ScriptedPacs) -> None:
    scripted.script.refuses_utf_8 = 0xA900
    pacs = pacs_at(scripted)
    with pytest.raises(PacsFailure):
        rows(pacs, GERMAN)
    assert len(rows(pacs, ASCII)) == 1
    assert scripted.character_sets == ["ISO_IR 192", "ISO_IR 192", None]
    with pytest.raises(PacsFailure, match="CharacterSet"):
        rows(pacs, GERMAN)


def test_what_it_refuses_anyway_is_not_put_down_to_the_set(scripted: ScriptedPacs) -> None:
    scripted.script.refuses_utf_8 = 0x0122
    with pytest.raises(PacsFailure):
        rows(pacs_at(scripted, LATIN_1), GERMAN)
    assert scripted.character_sets == ["ISO_IR 192"]


@pytest.mark.parametrize(
    ("character_set", "name"),
    [(LATIN_1, "J\u00fcrgen"), ("", "J\u00fcrgen"), ("ISO_IR 144", "J\u045crgen")],
)
def test_answers_that_do_not_name_their_set(
    scripted: ScriptedPacs, character_set: str, name: str
) -> None:
    """The script's bytes are Latin-1 then: its own set, or UTF-8 if they fit, else Latin-1."""
    scripted.script.names_no_set = True
    (row,) = rows(pacs_at(scripted, character_set), ASCII)
    assert row[NAME]["Value"] == [{"Alphabetic": f"Muster^{name}1"}]
