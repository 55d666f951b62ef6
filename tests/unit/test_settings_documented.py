"""Every key that is read stands in docs/configuration.md with its default, and no other does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from farsight.settings import read_settings

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"\| `([A-Za-z.]+)` \| (.+) \| (.+?) \| .+ \|\Z")
RULES: tuple[dict[str, Any], ...] = (
    {"Name": "priors", "When": "opened"},
    {"Name": "today", "When": "every"},
    {"Name": "scheduled", "When": "worklist", "Worklist": "pacs"},
)


class Asked(Mapping[str, Any]):
    """A section of the configuration that notes what is looked up in it, and with which default."""

    def __init__(self, found: dict[str, Any], where: str = "", **values: Any) -> None:
        self._found = found
        self._where = where
        self._values = values

    def get(self, name: str, default: Any = None) -> Any:
        value = self._values.get(name, default)
        if isinstance(value, Asked):
            return value
        if value == {}:
            return Asked(self._found, f"{self._where}{name}.")
        self._found[self._where + name] = default
        return value

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@pytest.fixture(scope="module")
def read() -> dict[str, Any]:
    """What is read, by its path below `Farsight`, and its default."""
    found: dict[str, Any] = {}
    rules = [Asked(found, "Prefetch.Rules.", **rule) for rule in RULES]
    section = Asked(
        found,
        Pacs=Asked(found, pacs=Asked(found, "Pacs.<name>.")),
        Prefetch=Asked(found, "Prefetch.", Rules=rules),
    )
    modality = {"AET": "ARCHIVE", "Host": "pacs.example.org", "Port": 104}
    read_settings({"DicomModalities": {"pacs": modality}, "Farsight": section})
    return found


@pytest.fixture(scope="module")
def documented() -> dict[str, str]:
    """What docs/configuration.md says of the same: the third cell of each row."""
    _, _, text = (DOCS / "configuration.md").read_text().partition("## `Farsight`\n")
    main, _, rest = text.partition("\nEach entry `Pacs.<name>`")
    of_pacs, _, _ = rest.partition("\n## ")
    named = {"": main, "Pacs.<name>.": of_pacs}
    return {
        where + row[1]: row[3]
        for where, tables in named.items()
        for line in tables.splitlines()
        if (row := ROW.match(line))
    }


def test_every_key_is_documented_and_no_other(
    read: dict[str, Any], documented: dict[str, str]
) -> None:
    keys = {key for key in read if not key.startswith("Prefetch.Rules.")}
    keys -= {"Pacs.<name>.UserIdentity.Username", "Pacs.<name>.UserIdentity.Passcode"}
    assert documented.keys() - {"Pacs", "Pacs.<name>.UserIdentity"} == keys


def test_defaults_are_as_documented(read: dict[str, Any], documented: dict[str, str]) -> None:
    compared = 0
    for key, told in documented.items():
        plain = re.fullmatch("`([^`<]+)`", told)
        if key in read and plain is not None:
            assert json.loads(plain[1]) == read[key], key
            compared += 1
    assert compared > len(documented) * 3 // 4


def test_keys_of_prefetch_rules_are_documented(read: dict[str, Any]) -> None:
    told = (DOCS / "prefetch.md").read_text()
    for key in read:
        if key.startswith("Prefetch."):
            assert f"| `{key.rpartition('.')[2]}` |" in told, key
