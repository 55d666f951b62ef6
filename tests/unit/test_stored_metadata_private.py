"""Private attributes of XML, which leaves their blocks out: as many as a client likes to send."""

from __future__ import annotations

from typing import Any

import pytest

from farsight.dicom.scan import MAX_ELEMENTS
from farsight.errors import BadRequest
from farsight.ps318 import private_blocks
from farsight.ps318.assembled_instances import AssemblyFailure
from farsight.ps318.private_blocks import CREATOR, with_blocks
from farsight.ps318.xml_reader import read_xml
from metadata_samples import store_xml, written_xml, xml_of


class Counted(str):
    """Counts how often tags are cut or compared while they are placed."""

    steps = 0

    def __getitem__(self, key: Any) -> str:
        Counted.steps += 1
        return super().__getitem__(key)


def element(tag: str, creator: str = "", value: str = "") -> str:
    by = f' privateCreator="{creator}"' if creator else ""
    inside = f'<Value number="1">{value}</Value>' if value else ""
    return f'<DicomAttribute tag="{tag}" vr="LO"{by}>{inside}</DicomAttribute>'


def test_a_creator_that_stands_twice_is_refused_before_anything_is_placed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unplaced(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("farsight.ps318.xml_reader.with_blocks", unplaced)
    creators = element("00290010", value="A") * 5500
    found = store_xml(xml_of(creators + element("00290001", "A") * 5500))
    assert isinstance(found, AssemblyFailure)
    assert "'00290010' stands twice" in found.why


def test_so_is_an_attribute_of_a_creator() -> None:
    found = store_xml(xml_of(element("00290010", value="A") + element("00290001", "A") * 2))
    assert isinstance(found, AssemblyFailure)
    assert "'00291001' stands twice" in found.why


def test_the_number_of_elements_is_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    many = "".join(element(f"0029{n % 0x10000:04X}", "A") for n in range(MAX_ELEMENTS + 1))
    monkeypatch.setattr(private_blocks._Blocks, "place", None)
    with pytest.raises(BadRequest, match=f"more than {MAX_ELEMENTS} elements"):
        read_xml(xml_of(many))


def test_a_group_has_240_blocks() -> None:
    creators = [element("00290001", f"C{n}", f"{n}") for n in range(240)]
    back = written_xml("".join(creators))
    placed = [tag for tag in back.elements if tag >> 16 == 0x29]
    assert placed == [0x290010 + n for n in range(240)] + [0x291001 + 0x100 * n for n in range(240)]
    assert back.text(0x0029FF01) == "239"
    with pytest.raises(BadRequest, match="0029"):
        read_xml(xml_of("".join(creators) + element("00290001", "another")))
    other = element("002B0001", "another", "x")
    assert written_xml("".join(creators) + other).text(0x002B1001) == "x"


def test_the_work_grows_with_the_number_of_attributes_only() -> None:
    """One creator in all 240 blocks, and elements that are in each of them already."""
    per_attribute = []
    for elements in (8, 64):
        blocks = [f"{n:02X}" for n in range(0x10, 0x100)]
        attributes: list[tuple[str, Any]] = [
            (Counted(f"002900{block}"), {"vr": "LO", "Value": ["A"]}) for block in blocks
        ]
        attributes += [
            (Counted(f"002900{n:02X}"), {"vr": "LO", CREATOR: "A"})
            for _ in blocks for n in range(elements)
        ]  # fmt: skip
        Counted.steps = 0
        settled = with_blocks(attributes)
        assert len({tag for tag, _ in settled}) == len(attributes) == 240 * (elements + 1)
        per_attribute.append(Counted.steps / len(attributes))
    assert max(per_attribute) < 12
