"""The memory tier's laws, with several threads at once."""

from __future__ import annotations

import threading
import time

from fakes.series_source import part10
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.model import InstanceRef
from farsight.services.memory_tier import MemoryTier
from sample_files import ct_slice


def instance(number: int) -> tuple[InstanceRef, DicomObject]:
    found = parse_object(part10(ct_slice(number, size=16)))
    return InstanceRef("1", "2", f"3.{number}"), found


def test_two_that_wait_with_the_same_instance_count_it_once() -> None:
    first, second = instance(1), instance(2)
    size = len(first[1].data)
    tier = MemoryTier(size + size // 2)
    assert tier.add_unstored(*first)
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(tier.add_unstored(*second)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.05)  # both wait for room now
    tier.mark_stored(first[0])
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == [False, True]
    assert tier.resident_bytes == len(second[1].data)
    tier.drop(second[0])
    assert tier.resident_bytes == 0


def test_what_the_archive_lost_is_stored_again() -> None:
    ref, found = instance(1)
    tier = MemoryTier(1 << 20)
    assert tier.add_unstored(ref, found)
    assert not tier.add_unstored(ref, found), "on its way already"
    tier.mark_stored(ref)
    assert tier.add_unstored(ref, found), "the archive has it no more"
    assert tier.resident_bytes == len(found.data)
    tier.mark_stored(ref)
    tier.drop(ref)
    assert tier.resident_bytes == 0


def test_only_what_is_stored_is_forgotten() -> None:
    (kept, unstored), (ref, found) = instance(1), instance(2)
    tier = MemoryTier(1 << 20)
    tier.add_unstored(kept, unstored)
    tier.add_stored(ref, found)
    for each in (kept, ref):
        tier.forget(each)
    assert (tier.get(kept), tier.get(ref)) == (unstored, None)
