"""The archive's index: what happens while a study is loaded counts more than what was read."""

from __future__ import annotations

from dataclasses import replace

from farsight.adapters.archive_index import ArchiveIndex, StoredInstance
from farsight.adapters.storage_area import Attachment
from farsight.model import InstanceRef, SeriesRef

STUDY = "1.2"
SERIES = SeriesRef(STUDY, "1.3")


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


def with_file(number: int, uuid: str) -> StoredInstance:
    return replace(stored(number), attachment=Attachment(uuid, 1000))


def version(index: ArchiveIndex) -> int:
    entry = index.entry(SERIES)
    assert entry is not None
    return entry.version


def loaded(*rows: StoredInstance) -> ArchiveIndex:
    index = ArchiveIndex()
    index.begin_load(STUDY)
    index.load(STUDY, rows)
    return index


def test_another_file_under_the_same_uids_is_another_version() -> None:
    index = loaded(with_file(1, "a"), stored(2))
    before = version(index)
    index.note_attachment("id2", Attachment("b", 1000))
    index.note_attachment("id1", Attachment("a", 1000, is_file=False))
    assert version(index) == before, "known better, not another"
    index.begin_load(STUDY)
    index.load(STUDY, [with_file(1, "a"), with_file(2, "b")])
    assert version(index) == before
    index.begin_load(STUDY)
    index.load(STUDY, [with_file(1, "c"), with_file(2, "b")])
    after_load = version(index)
    assert after_load != before
    index.add(with_file(2, "d"))
    after_add = version(index)
    assert after_add != after_load
    index.note_attachment("id2", Attachment("e", 1000))
    assert version(index) != after_add


def test_one_that_is_replaced_stays_held() -> None:
    index = loaded(with_file(1, "a"))
    before = version(index)
    assert index.replaced("id1", Attachment("b", 1000)) == stored(1).ref
    assert known(index) == {"1.4.1"}
    assert version(index) != before
    assert index.attachments(SERIES) == {"1.4.1": Attachment("b", 1000)}
    assert index.replaced("id7", Attachment("b", 1000)) is None


def test_files_go_with_their_instances() -> None:
    index = loaded(with_file(1, "a"), with_file(2, "b"))
    index.remove("id1")
    assert index.attachment("id1") is None
    assert index.attachments(SERIES) == {"1.4.2": Attachment("b", 1000)}
    index.note_attachment("id1", Attachment("c", 1000))
    assert index.attachment("id1") is None, "nobody would ever forget it"


def test_one_name_under_two_patients() -> None:
    """Where one goes, nothing is said of the other before the archive was asked again."""
    one, two = stored(1), replace(stored(1), resource_id="other", series_resource_id="other series")
    for gone in (one, two):
        index = loaded(one, two)
        assert index.series_ids(STUDY) is None
        assert index.remove(gone.resource_id) == gone.ref
        assert index.series_ids(STUDY) is None
        assert not index.has_study(STUDY)
        assert index.replaced(one.resource_id, Attachment("u", 1)) is None


def test_series_of_a_study() -> None:
    index = loaded(stored(1), stored(2))
    assert index.series_ids(STUDY) == [stored(1).series_resource_id]
    assert index.series_ids("1.9") is None, "it isn't loaded"
