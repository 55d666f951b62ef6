"""The section Prefetch: what is read, what is refused, and that the words help."""

from __future__ import annotations

from typing import Any

import pytest

from farsight.errors import SettingsError
from farsight.model_prefetch import (
    EveryRule,
    Hours,
    OpenedRule,
    PrefetchRules,
    PriorsWanted,
    WorklistRule,
)
from farsight.settings import Settings, read_settings
from farsight.settings_prefetch import PrefetchSettings

PACS = {"AET": "ARCHIVE", "Host": "pacs.example.org", "Port": 104}
RIS = {"AET": "RIS", "Host": "ris.example.org", "Port": 105, "AllowFind": False}


def read(section: dict[str, Any], **modalities: Any) -> Settings:
    return read_settings(
        {
            "DicomModalities": modalities or {"pacs": PACS, "ris": RIS},
            "Farsight": {"Prefetch": section},
        }
    )


def refused(rule: dict[str, Any], says: str, **modalities: Any) -> None:
    with pytest.raises(SettingsError, match=says):
        read({"Rules": [{"Name": "one", "When": "opened", **rule}]}, **modalities)


def test_nothing_said() -> None:
    assert read({}).prefetch == PrefetchSettings()
    assert PrefetchSettings().rules == PrefetchRules((), 10, 1000)


def test_everything_said() -> None:
    read_now = read(
        {
            "StudiesPerMinute": 5,
            "MaxWaiting": 50,
            "Hours": ["19:00-07:00", "12:00-13:30"],
            "Rules": [
                {
                    "Name": "priors",
                    "When": "opened",
                    "ForModalities": ["CT"],
                    "Modalities": ["CT", "MR"],
                    "BodyParts": ["CHEST"],
                    "SameModality": False,
                    "SameBodyPart": True,
                    "Number": 2,
                    "MaxAgeDays": 730,
                    "Pacs": ["pacs"],
                    "Hours": [],
                },
                {
                    "Name": "today",
                    "When": "every",
                    "Minutes": 5,
                    "Days": 2,
                    "Modalities": ["CT"],
                    "Number": 40,
                    "Hours": ["20:00-24:00"],
                },
                {
                    "Name": "scheduled",
                    "When": "worklist",
                    "Worklist": "ris",
                    "Minutes": 10,
                    "Days": 3,
                    "ForModalities": ["MR"],
                    "Number": 1,
                },
            ],
        }
    )
    night = (Hours(19 * 60, 7 * 60), Hours(12 * 60, 13 * 60 + 30))
    priors = PriorsWanted(
        frozenset({"CT", "MR"}), frozenset({"CHEST"}), False, True, number=2, max_age_days=730
    )
    assert read_now.prefetch.rules == PrefetchRules(
        (
            OpenedRule("priors", frozenset({"CT"}), priors, ("pacs",), ()),
            EveryRule("today", 300.0, 2, frozenset({"CT"}), 40, (), (Hours(1200, 1440),)),
            WorklistRule(
                *("scheduled", "ris", 600.0, 3, frozenset({"MR"})),
                priors=PriorsWanted(number=1),
                pacs=("pacs",),
                hours=night,
            ),
        ),
        studies_per_minute=5,
        max_waiting=50,
    )
    assert [one.name for one in read_now.pacs] == ["pacs"], "a worklist is no source"
    (ris,) = read_now.prefetch.worklists
    assert (ris.name, ris.ae_title, ris.host, ris.port) == ("ris", "RIS", "ris.example.org", 105)


def test_a_worklist_that_is_a_source_too_is_spoken_to_as_that() -> None:
    settings = read_settings(
        {
            "DicomModalities": {"pacs": PACS},
            "Farsight": {
                "Pacs": {"pacs": {"DimseTimeout": 7}},
                "Prefetch": {"Rules": [{"Name": "a", "When": "worklist", "Worklist": "pacs"}]},
            },
        }
    )
    assert settings.prefetch.worklists == settings.pacs


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"Name": ""}, r"Rules\[0\]\.Name is ''"),
        ({"Name": "a\nb"}, r"Rules\[0\]\.Name"),
        ({"When": "sometimes"}, r"When is 'sometimes': must be one of opened, every, worklist"),
        ({"Modalities": "CT"}, r"Modalities is 'CT': must be a list"),
        ({"Modalities": ["ct"]}, r"Modalities is 'ct': must be code strings"),
        ({"BodyParts": ["CHEST "]}, r"BodyParts is 'CHEST '"),
        ({"Number": 0}, r"Number is 0: must be a whole number from 1 to 100"),
        ({"MaxAgeDays": -1}, r"MaxAgeDays is -1"),
        ({"SameModality": 1}, r"SameModality is 1: must be true or false"),
        ({"Minutes": 5}, r"Minutes is 5: unknown key; allowed: .*SameBodyPart"),
        ({"Pacs": ["ris"]}, r"Pacs is 'ris': must be a PACS \(there: pacs\)"),
        ({"Hours": ["7-9"]}, r"Hours is '7-9': must be local times such as \"19:00-07:00\""),
        ({"Hours": ["24:00-07:00"]}, r"Hours is '24:00-07:00'"),
        ({"Hours": ["07:00-07:00"]}, r"leave Hours out for always"),
        ({"When": "every", "BodyParts": ["CHEST"]}, r"BodyParts is .*unknown key"),
        ({"When": "every", "Minutes": 0}, r"Minutes is 0"),
        ({"When": "worklist"}, r"Worklist is '': must be the key of DicomModalities"),
        (
            {"When": "worklist", "Worklist": "ria"},
            r"Worklist is 'ria': must be a key of DicomModalities \(there: pacs, ris\)",
        ),
        (
            {"When": "worklist", "Worklist": "ris", "SameBodyPart": True},
            r"SameBodyPart is True: unknown key",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(rule: dict[str, Any], says: str) -> None:
    refused(rule, says)


def test_a_worklist_before_several_pacs_names_those_that_share_its_patient_ids() -> None:
    several = {"a": PACS, "b": PACS, "ris": RIS}
    rule = {"When": "worklist", "Worklist": "ris"}
    refused(rule, r"Rules\[0\]\.Pacs is \[\]: .*PatientIDs.*there: a, b", **several)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"Rules": {}}, r"Prefetch\.Rules is \{\}: must be a list of objects"),
        ({"Rules": ["opened"]}, r"Rules\[0\] is 'opened': must be an object"),
        ({"Rules": [{"Name": "a", "When": "opened"}] * 2}, "two rules have this Name"),
        ({"StudiesPerMinute": 0}, "StudiesPerMinute is 0"),
        ({"MaxWaiting": 0}, "MaxWaiting is 0"),
        ({"Hours": ["x"]}, r"Prefetch\.Hours is 'x'"),
        ({"Rule": []}, "Prefetch.Rule is .*unknown key; allowed: Hours, MaxWaiting, Rules"),
    ],
)
def test_the_section_itself(section: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        read(section)
