"""Which SOP classes are there to be stored (PS3.6 table A-1, PS3.4 B.5)."""

from __future__ import annotations

import functools

from pydicom._uid_dict import UID_dictionary

_DIRECTORY = "1.2.840.10008.1.3.10"
_OTHERWISE_NAMED = ("Storage Commitment", "Storage Management")


@functools.lru_cache(maxsize=1024)
def is_storage_class(uid: str) -> bool:
    """Whether objects of that class can be stored: what the standard doesn't know may be."""
    if uid not in UID_dictionary:
        return True
    name, kind = UID_dictionary[uid][:2]
    if uid == _DIRECTORY or any(word in name for word in _OTHERWISE_NAMED):
        return False
    return kind == "SOP Class" and "Storage" in name
