"""Parts that many refer to: little work, and never much more comes out than was sent."""

from __future__ import annotations

from typing import Any

import pytest

from farsight.errors import PayloadTooLarge
from farsight.ps318 import assembled_instances, bulk_parts
from farsight.ps318.assembled_instances import Assembled, AssemblyFailure, assemble
from farsight.ps318.bulk_parts import SHARED_BYTES, BulkPart, BulkParts
from farsight.ps318.refused import ValueUnfit
from farsight.ps318.store_reasons import FailureReason
from farsight.ps318.xml_reader import read_xml
from metadata_samples import BULK, CELLS, FRAME, PIXELS, UIDS, frames, message, part, xml_of
from taken_apart import XML

LARGE = b"a" * (SHARED_BYTES // 4)


def naming(uri: str, count: int, vr: str = "OB") -> dict[str, Any]:
    """An instance in which `count` attributes name one part."""
    named = {f"0009{0x1000 + n:04X}": {"vr": vr, "BulkDataURI": uri} for n in range(count)}
    return {**UIDS, **named}


@pytest.mark.parametrize("vr", ["OB", "UT", "UN"])
def test_one_instance_may_not_name_a_part_again_and_again(vr: str) -> None:
    (few, many) = message([naming(BULK, 2, vr), naming(BULK, 150, vr)], part(LARGE)).instances
    assert isinstance(few, Assembled)
    assert isinstance(many, AssemblyFailure)
    assert many.reason == FailureReason.CANNOT_UNDERSTAND
    assert "00091" in many.why
    assert "again and again" in many.why


def test_nor_may_many_and_the_others_are_not_taken_away() -> None:
    data_sets = [naming(BULK, 1)] * 8 + [naming("other", 1), naming("", 0)]
    found = message(data_sets, part(LARGE), part(LARGE, at="other")).instances
    kinds = [Assembled] * 4 + [AssemblyFailure] * 4 + [Assembled] * 2
    assert [type(one) for one in found] == kinds
    sizes = [one.size_bytes for one in found if isinstance(one, Assembled)]
    assert sum(sizes) < 2 * len(LARGE) + SHARED_BYTES


def test_icons_and_frames_count_as_well() -> None:
    icons = {"00880200": {"vr": "SQ", "Value": [PIXELS] * 8}}
    kind = "image/jpeg"
    for changes in (icons, PIXELS):
        data_sets = [{**UIDS, **changes}] * 8
        found = message(data_sets, part(FRAME + LARGE, kind)).instances
        assert isinstance(found[-1], AssemblyFailure)
        assert "again and again" in found[-1].why


def test_writing_anew_in_unicode_costs_nothing() -> None:
    """The part that is long is written first, and the text that doesn't fit comes behind it."""
    text = {"00091010": {"vr": "LO", "Value": ["山"]}}
    charset = {"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}
    long = BulkPart("", BULK, LARGE * 5)
    (found, again) = message([{**naming(BULK, 1), **charset, **text}] * 2, long).instances
    assert isinstance(found, Assembled)
    assert isinstance(again, AssemblyFailure)


class Long(bytes):
    """A value that says to be longer than any machine should have to hold."""

    def __len__(self) -> int:
        return 0xFFFF_FF00


def test_a_file_is_shorter_than_32_bits_can_count() -> None:
    (found,) = message([naming(BULK, 1)], part(Long())).instances
    assert isinstance(found, AssemblyFailure)
    assert found.reason == FailureReason.OUT_OF_RESOURCES


def test_all_files_together_are_not_much_longer_than_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever they are made of: here of numbers, which are shorter in JSON."""
    monkeypatch.setattr(assembled_instances, "SHARED_BYTES", 1000)
    many, few = ({"00091001": {"vr": "FD", "Value": [0] * count}} for count in (10_000, 100))
    found = message([{**UIDS, **many}, {**UIDS, **few}]).instances
    assert isinstance(found[0], AssemblyFailure)
    assert found[0].reason == FailureReason.CANNOT_UNDERSTAND
    assert isinstance(found[1], Assembled)


def test_values_that_are_left_out_in_xml_are_no_more_than_bytes_came() -> None:
    value = '<DicomAttribute tag="00080008" vr="CS"><Value number="{}">A</Value></DicomAttribute>'
    document = xml_of(value.format(100_000))
    with pytest.raises(PayloadTooLarge):
        read_xml(document)
    (found,) = assemble(XML, [xml_of(value.format(100))], []).instances
    assert isinstance(found, Assembled)


# -- work --------------------------------------------------------------------------------------


def test_the_number_of_parts_is_looked_at_before_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [part(CELLS, "image/jpeg") for _ in range(50)]
    read: list[str] = []
    parse = bulk_parts.parse_content_type

    def counted(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        read.append(text)
        return parse(text)

    monkeypatch.setattr(bulk_parts, "parse_content_type", counted)
    found = message([{**UIDS, **frames(51)}] * 20, *parts)
    assert all(isinstance(one, AssemblyFailure) for one in found.instances)
    assert found.unclaimed == [BULK] * 50
    assert read == []
    found = message([{**UIDS, **frames(3)}] * 20, *[part(FRAME, "image/jpeg")] * 3)
    assert all(isinstance(one, Assembled) for one in found.instances)
    assert len(read) <= 1


@pytest.mark.parametrize("suffix", ["", "/frames/{}"])
def test_parts_that_are_named_again_come_to_an_end(suffix: str) -> None:
    parts = BulkParts([part(LARGE[:1024], at=BULK + suffix.format(n + 1)) for n in range(1000)])
    for _ in range(1 + SHARED_BYTES // ((1024 + 64) * 1000)):
        assert len(parts.frames(BULK, 1000)) == 1000
    with pytest.raises(ValueUnfit, match="again and again"):
        parts.frames(BULK, 1000)
