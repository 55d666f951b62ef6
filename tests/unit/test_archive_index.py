"""The archive's index: what happens while a study is loaded counts more than what was read."""

from __future__ import annotations

from farsight.adapters.archive_index import ArchiveIndex, StoredInstance
from farsight.model import InstanceRef

STUDY = "1.2"


def stored(number: int) -> StoredInstance:
    return StoredInstance(InstanceRef(STUDY, "1.3", f"1.4.{number}"), f"id{number}", "series")


def known(index: ArchiveIndex) -> set[str]:
    return set(index.instances(STUDY).get("1.3", ()))


def test_what_is_stored_while_loading_is_not_lost() -> None:
    index = ArchiveIndex()
    index.begin_load(STUDY)
    assert not index.is_empty, "events have to be followed already"
    snapshot = [stored(1)]
    index.add(stored(2))
    index.load(STUDY, snapshot)
    assert known(index) == {"1.4.1", "1.4.2"}
    index.begin_load(STUDY)
    index.add(stored(3))
    index.load(STUDY, [stored(1), stored(2)])
    assert known(index) == {"1.4.1", "1.4.2", "1.4.3"}


def test_what_is_removed_while_loading_does_not_come_back() -> None:
    index = ArchiveIndex()
    index.begin_load(STUDY)
    index.remove("id2")
    index.load(STUDY, [stored(1), stored(2)])
    assert known(index) == {"1.4.1"}


def test_in_the_order_in_which_it_happened() -> None:
    index = ArchiveIndex()
    index.begin_load(STUDY)
    index.add(stored(2))
    index.remove("id2")
    index.remove("id3")
    index.add(stored(3))
    index.load(STUDY, [])
    assert known(index) == {"1.4.3"}


def test_versions_change_with_what_is_there() -> None:
    index = ArchiveIndex()
    index.begin_load(STUDY)
    index.load(STUDY, [stored(1)])
    entry = next(iter(index._studies[STUDY].values()))
    version = entry.version
    index.begin_load(STUDY)
    index.load(STUDY, [stored(1)])
    assert index._studies[STUDY]["1.3"].version == version
    index.begin_load(STUDY)
    index.load(STUDY, [stored(1), stored(2)])
    assert index._studies[STUDY]["1.3"].version != version


def test_studies_in_use_stay() -> None:
    index = ArchiveIndex(max_studies=3)

    def load(study: str) -> None:
        index.begin_load(study)
        index.load(study, [StoredInstance(InstanceRef(study, "1.3", "1.4"), study, "series")])

    load("hot")
    for number in range(10):
        assert index.has_study("hot"), "asked for instance by instance, it is in use"
        load(f"cold {number}")
    assert not index.has_study("cold 5")
