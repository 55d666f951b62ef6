"""One JSON object of the configuration, read with its types; what nobody read is refused."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from farsight.dicom.charset import is_character_set
from farsight.errors import SettingsError
from farsight.ps318.attribute_id import attribute_path

_URL = re.compile(
    r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?\Z"
)
_ROOT = re.compile(r"(/[A-Za-z0-9._-]+)+/\Z")
_CODE = re.compile(r"(?! )[A-Z0-9_ ]{1,16}(?<! )\Z")


class Section:
    """One JSON object of the configuration: typed reading, and what nobody read is refused."""

    def __init__(self, key: str, value: Any, *, secret: bool = False) -> None:
        """`secret`: its values aren't repeated in what is refused."""
        if not isinstance(value, Mapping):
            raise SettingsError(key, value, "must be an object")
        self._key = key
        self._value = value
        self._secret = secret
        self._known: set[str] = set()

    @property
    def key(self) -> str:
        """Where it stands, for what is refused."""
        return self._key

    def keys(self) -> list[str]:
        return list(self._value)

    def section(self, name: str, *, secret: bool = False) -> Section:
        return Section(f"{self._key}.{name}", self._get(name, {}), secret=secret)

    def sections(self, name: str) -> list[Section]:
        """A list of objects."""
        value = self._get(name, [])
        if not isinstance(value, list):
            raise self._refuse(name, value, "must be a list of objects")
        return [Section(f"{self._key}.{name}[{index}]", one) for index, one in enumerate(value)]

    def refuse_unknown(self) -> None:
        for name in self._value:
            if name not in self._known:
                allowed = ", ".join(sorted(self._known))
                raise self._refuse(name, self._value[name], f"unknown key; allowed: {allowed}")

    def _get(self, name: str, default: Any) -> Any:
        self._known.add(name)
        return self._value.get(name, default)

    def _refuse(self, name: str, value: Any, allowed: str) -> SettingsError:
        return SettingsError(f"{self._key}.{name}", "…" if self._secret else value, allowed)

    def text(self, name: str, default: str) -> str:
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self._refuse(name, value, "must be a string")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._refuse(name, value, "must be true or false")
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._refuse(name, value, f"must be a whole number from {least} to {most}")
        return value

    def seconds(self, name: str, default: float) -> float:
        value = self._get(name, default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0.1 <= value <= 3600:
            raise self._refuse(name, value, "must be a number of seconds from 0.1 to 3600")
        return float(value)

    def choice(self, name: str, default: str, allowed: Sequence[str]) -> str:
        value = self._get(name, default)
        if value not in allowed:
            raise self._refuse(name, value, "must be one of " + ", ".join(allowed))
        return str(value)

    def names(self, name: str) -> tuple[str, ...]:
        """A list of words, none of them twice."""
        value = self._get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self._refuse(name, value, "must be a list of names")
        if len(set(value)) < len(value):
            raise self._refuse(name, value, "must not name one twice")
        return tuple(value)

    def codes(self, name: str) -> frozenset[str]:
        """Code strings, modalities say (PS3.5 6.2, CS)."""
        for value in (values := self.names(name)):
            if not _CODE.match(value):
                allowed = "must be code strings: capitals, digits, spaces, underscores, at most 16"
                raise self._refuse(name, value, allowed)
        return frozenset(values)

    def root(self, name: str, default: str, *, empty: bool = False) -> str:
        """`empty`: "" is allowed, for none."""
        value = self.text(name, default)
        if empty and not value:
            return ""
        if not _ROOT.match(value) or "/../" in value or "/./" in value:
            raise self._refuse(
                name, value, 'must be a path such as "/dicom-web/", with both slashes'
            )
        return value

    def character_set(self, name: str) -> str:
        """A value of Specific Character Set, "" for none (PS3.3 C.12.1.1.2)."""
        value = self.text(name, "")
        if value and not is_character_set(value):
            allowed = 'must be defined terms such as "ISO_IR 100", several with a backslash between'
            raise self._refuse(name, value, allowed)
        return value

    def attributes(self, name: str) -> frozenset[str]:
        """Tags, of keywords or tags."""
        value = self._get(name, [])
        if not isinstance(value, list):
            raise self._refuse(name, value, "must be a list of keywords or tags")
        tags: set[str] = set()
        for item in value:
            path = attribute_path(item) if isinstance(item, str) else None
            if path is None or len(path) > 1:
                raise self._refuse(name, item, "must be a keyword of the dictionary or a tag")
            tags.update(path)
        return frozenset(tags)

    def address(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            ipaddress.ip_address(value)
        except ValueError as error:
            raise self._refuse(name, value, "must be an IP address, 0.0.0.0 for all") from error
        return value

    def addresses(self, name: str) -> tuple[str, ...]:
        value = self._get(name, [])
        if not isinstance(value, list):
            raise self._refuse(name, value, "must be a list of IP addresses or networks")
        for network in value:
            try:
                ipaddress.ip_network(network if isinstance(network, str) else "")
            except ValueError as error:
                raise self._refuse(name, network, "must be an IP address or network") from error
        return tuple(value)

    def url(self, name: str) -> str:
        value = self.text(name, "")
        if value and not _URL.match(value):
            raise self._refuse(name, value, "must be a URL such as https://pacs.example.org")
        return value.rstrip("/")
