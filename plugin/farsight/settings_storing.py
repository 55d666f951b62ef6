"""What clients may store, where it is sent on to, and how long what a PACS holds is kept here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from farsight.errors import SettingsError
from farsight.settings_section import Section

DUPLICATES = ("reject", "keep", "replace")
VANISHED = ("keep", "delete")
_MEGABYTE = 1 << 20
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class StowSettings:
    """What clients may store, and where it goes. forward_to: names of PACS.

    duplicates: what becomes of an instance whose name is taken by other content: "reject", "keep"
    what is there, or "replace" it. forward_dicom: what comes by C-STORE goes there too.
    """

    enabled: bool = True
    forward_to: tuple[str, ...] = ()
    forward_dicom: bool = True
    duplicates: str = "reject"
    max_bytes: int = 8192 << 20
    max_part_bytes: int = 2048 << 20
    max_parts: int = 10_000
    max_part_header_bytes: int = 8 << 10
    memory_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Sending on. attempts: refusals until an instance is given up; silence does not count."""

    retry_s: float = 5.0
    longest_retry_s: float = 600.0
    attempts: int = 10
    confirm_after_s: float = 2.0


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """How long what a PACS holds is kept here. 0 for max_bytes and max_age_s: no limit.

    fresh_s: for how long what was checked against the PACS is believed. vanished: what becomes of
    instances that the PACS doesn't list any more: "keep" or "delete".
    """

    max_bytes: int = 0
    max_age_s: float = 0.0
    min_free_bytes: int = 1024 << 20
    fresh_s: float = 300.0
    vanished: str = "keep"


def read_stow(section: Section, pacs: Collection[str]) -> StowSettings:
    """`pacs`: the names there are. Raises: SettingsError."""
    forward_to = section.names("ForwardTo")
    for name in forward_to:
        if name not in pacs:
            known = ", ".join(sorted(pacs)) or "none"
            raise SettingsError("Farsight.Stow.ForwardTo", name, f"must be a PACS (there: {known})")
    settings = StowSettings(
        enabled=section.boolean("Enabled", default=True),
        forward_to=forward_to,
        forward_dicom=section.boolean("ForwardDicom", default=True),
        duplicates=section.choice("Duplicates", "reject", DUPLICATES),
        max_bytes=section.integer("MaxMegabytes", 8192, 1, 1 << 24) * _MEGABYTE,
        max_part_bytes=section.integer("MaxPartMegabytes", 2048, 1, 4096) * _MEGABYTE,
        max_parts=section.integer("MaxParts", 10_000, 1, 1_000_000),
        max_part_header_bytes=section.integer("MaxPartHeaderBytes", 8192, 256, 1 << 20),
        memory_bytes=section.integer("MemoryMegabytes", 256, 1, 1 << 20) * _MEGABYTE,
    )
    section.refuse_unknown()
    return settings


def check_orthancs_own(
    configuration: Mapping[str, Any], stow: StowSettings, *, can_reject: bool
) -> None:
    """What Orthanc does by itself must not undo what is promised here.

    `can_reject`: whether this Orthanc knows MaximumStorageMode (1.11.2). Raises: SettingsError.
    """
    rejects = can_reject and configuration.get("MaximumStorageMode", "Recycle") == "Reject"
    for key in ("MaximumStorageSize", "MaximumPatientCount"):
        if configuration.get(key, 0) and not rejects:
            why = "makes Orthanc delete whole patients, also what no PACS has: use "
            why += "Farsight.Cache.MaxMegabytes"
            if can_reject:
                why += ', or "MaximumStorageMode": "Reject" beside it'
            raise SettingsError(key, configuration[key], why)
    overwrites = configuration.get("OverwriteInstances", False) not in (False, "Never")
    if stow.duplicates == "replace" and not overwrites:
        why = '"replace" needs Orthanc\'s "OverwriteInstances": true'
        raise SettingsError("Farsight.Stow.Duplicates", "replace", why)
    if stow.duplicates == "keep" and overwrites:
        why = '"keep" needs Orthanc\'s "OverwriteInstances": false'
        raise SettingsError("Farsight.Stow.Duplicates", "keep", why)


def read_outbox(section: Section) -> OutboxSettings:
    """Raises: SettingsError."""
    settings = OutboxSettings(
        retry_s=section.seconds("Retry", 5.0),
        longest_retry_s=section.seconds("LongestRetry", 600.0),
        attempts=section.integer("Attempts", 10, 1, 1000),
        confirm_after_s=section.seconds("ConfirmAfter", 2.0),
    )
    section.refuse_unknown()
    return settings


def read_cache(section: Section) -> CacheSettings:
    """Raises: SettingsError."""
    settings = CacheSettings(
        max_bytes=section.integer("MaxMegabytes", 0, 0, 1 << 30) * _MEGABYTE,
        max_age_s=section.integer("MaxDays", 0, 0, 36_500) * _DAY_S,
        min_free_bytes=section.integer("MinFreeMegabytes", 1024, 0, 1 << 30) * _MEGABYTE,
        fresh_s=float(section.integer("FreshSeconds", 300, 0, 86_400)),
        vanished=section.choice("Vanished", "keep", VANISHED),
    )
    section.refuse_unknown()
    return settings
