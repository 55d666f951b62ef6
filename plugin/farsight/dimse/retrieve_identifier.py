"""What to fetch as the keys of a C-GET or C-MOVE identifier (PS3.4 C.4.2.1.4, C.4.3.1.3)."""

from __future__ import annotations

from collections.abc import Sequence

from farsight.model import IdentifierKey, Level


def retrieve_keys(
    study_instance_uid: str,
    series_instance_uid: str | None,
    sop_instance_uids: Sequence[str],
    patient_id: str | None = None,
) -> tuple[Level, tuple[IdentifierKey, ...]]:
    """The level named by what is given, and its unique keys from the study down.

    Instances without their series can't be asked for: the levels are a hierarchy. `patient_id`
    goes first in the Patient root, which refuses identifiers without it (PS3.4 C.6.1.1.2).
    """
    keys = [] if patient_id is None else [IdentifierKey("00100020", "LO", patient_id)]
    keys.append(IdentifierKey("0020000D", "UI", study_instance_uid))
    if series_instance_uid is None:
        return Level.STUDY, tuple(keys)
    keys.append(IdentifierKey("0020000E", "UI", series_instance_uid))
    if not sop_instance_uids:
        return Level.SERIES, tuple(keys)
    keys.append(IdentifierKey("00080018", "UI", "\\".join(sop_instance_uids)))
    return Level.IMAGE, tuple(keys)
