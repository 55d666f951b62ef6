"""The section Prefetch: rules by which studies are fetched before anyone asks for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from farsight.errors import SettingsError
from farsight.model_prefetch import (
    MINUTES_OF_DAY,
    EveryRule,
    Hours,
    OpenedRule,
    PrefetchRules,
    PriorsWanted,
    Rule,
    WorklistRule,
)
from farsight.settings_pacs import PacsSettings, read_modality
from farsight.settings_section import Section

WHEN = ("opened", "every", "worklist")
_NAME = re.compile(r"[A-Za-z0-9._ -]{1,64}\Z")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)\Z", re.ASCII)
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class PrefetchSettings:
    """rules: what to do. worklists: the modalities that are asked for their worklist."""

    rules: PrefetchRules = field(default_factory=PrefetchRules)
    worklists: tuple[PacsSettings, ...] = ()


def read_prefetch(
    section: Section, configuration: Mapping[str, Any], pacs: Sequence[PacsSettings]
) -> PrefetchSettings:
    """`pacs`: the sources there are; a worklist may be any of Orthanc's DicomModalities.

    Raises: SettingsError.
    """
    hours = _read_hours(section)
    rules = tuple(
        _read_rule(one, hours, [source.name for source in pacs])
        for one in section.sections("Rules")
    )
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError("Farsight.Prefetch.Rules", name, "two rules have this Name")
    read = PrefetchRules(
        rules,
        section.integer("StudiesPerMinute", 10, 1, 1000),
        section.integer("MaxWaiting", 1000, 1, 100_000),
    )
    section.refuse_unknown()
    known = {one.name: one for one in pacs}
    asked = dict.fromkeys(rule.worklist for rule in rules if isinstance(rule, WorklistRule))
    worklists = (known.get(name) or _worklist(configuration, name) for name in asked)
    return PrefetchSettings(read, tuple(worklists))


def _worklist(configuration: Mapping[str, Any], name: str) -> PacsSettings:
    modalities = configuration.get("DicomModalities", {})
    if name not in modalities:
        there = ", ".join(sorted(modalities)) or "none"
        allowed = f"must be a key of DicomModalities (there: {there})"
        raise SettingsError("Farsight.Prefetch.Rules.Worklist", name, allowed)
    return read_modality(configuration, name)


def _read_rule(section: Section, hours: tuple[Hours, ...], pacs: Sequence[str]) -> Rule:
    name = section.text("Name", "")
    if not _NAME.match(name):
        allowed = "must be a name of letters, digits, spaces, . _ -, at most 64 of them"
        raise SettingsError(f"{section.key}.Name", name, allowed)
    said = section.keys()
    if "Hours" in said:
        hours = _read_hours(section)
    when = section.choice("When", "", WHEN)
    where = section.names("Pacs")
    for one in where:
        if one not in pacs:
            there = ", ".join(sorted(pacs)) or "none"
            raise SettingsError(f"{section.key}.Pacs", one, f"must be a PACS (there: {there})")
    rule: Rule
    if when == "opened":
        for_modalities = section.codes("ForModalities")
        rule = OpenedRule(name, for_modalities, _read_priors(section, opened=True), where, hours)
    elif when == "every":
        rule = EveryRule(
            name,
            section.integer("Minutes", 15, 1, 1440) * _MINUTE_S,
            section.integer("Days", 1, 1, 31),
            section.codes("Modalities"),
            section.integer("Number", 1000, 1, 10_000),
            where,
            hours,
        )
    else:
        rule = _read_worklist(section, name, where or _only(section, pacs), hours)
    section.refuse_unknown()
    return rule


def _read_worklist(
    section: Section, name: str, pacs: tuple[str, ...], hours: tuple[Hours, ...]
) -> WorklistRule:
    worklist = section.text("Worklist", "")
    if not worklist:
        allowed = "must be the key of DicomModalities that has the worklist"
        raise SettingsError(f"{section.key}.Worklist", worklist, allowed)
    return WorklistRule(
        name,
        worklist,
        section.integer("Minutes", 15, 1, 1440) * _MINUTE_S,
        section.integer("Days", 1, 1, 31),
        section.codes("ForModalities"),
        _read_priors(section, opened=False),
        pacs,
        hours,
    )


def _only(section: Section, pacs: Sequence[str]) -> tuple[str, ...]:
    """Of several, any may know the same PatientID as somebody else's."""
    if len(pacs) > 1:
        allowed = (
            "must name the PACS whose PatientIDs are those of the worklist "
            f"(there: {', '.join(sorted(pacs))})"
        )
        raise SettingsError(f"{section.key}.Pacs", [], allowed)
    return tuple(pacs)


def _read_priors(section: Section, *, opened: bool) -> PriorsWanted:
    """A worklist doesn't tell body parts: what is the same as there can't be told either."""
    return PriorsWanted(
        section.codes("Modalities"),
        section.codes("BodyParts"),
        section.boolean("SameModality", default=True),
        opened and section.boolean("SameBodyPart", default=False),
        section.integer("Number", 3, 1, 100),
        section.integer("MaxAgeDays", 0, 0, 36_500),
    )


def _read_hours(section: Section) -> tuple[Hours, ...]:
    return tuple(_parse_hours(f"{section.key}.Hours", text) for text in section.names("Hours"))


def _parse_hours(key: str, text: str) -> Hours:
    found = _HOURS.match(text)
    if not found:
        allowed = 'must be local times such as "19:00-07:00", the second at most 24:00'
        raise SettingsError(key, text, allowed)
    begin = int(found[1]) * 60 + int(found[2])
    end = int(found[3]) * 60 + int(found[4]) if found[3] else MINUTES_OF_DAY
    if begin == end:
        raise SettingsError(key, text, "must end at another time; leave Hours out for always")
    return Hours(begin, end)
