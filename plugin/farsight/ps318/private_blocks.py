"""Private attributes put back into the blocks of their creators (PS3.5 7.8.1, PS3.19 A.1.5).

The Native DICOM Model names an attribute's creator and leaves its block number out. It is looked
up among the creators that the data set has; where none is of that name, a block is reserved. The
work grows with the number of attributes only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from farsight.errors import BadRequest
from farsight.model import JsonAttribute
from farsight.ps318.attribute_id import is_private

#: Under this name an attribute brings its creator; it is taken away here.
CREATOR: Final = "privateCreator"

_Named = tuple[str, JsonAttribute]
#: Group and creator.
_Owner = tuple[str, str]


def with_blocks(attributes: Sequence[_Named]) -> list[_Named]:
    """Tags and attributes as a data set has them. A creator that reserved two blocks gets its
    attributes in the first, and those whose number is taken there in the next.

    Those without a creator have a tag each. Raises: BadRequest where a group has no block left.
    """
    if not any(CREATOR in attribute for _, attribute in attributes):
        return list(attributes)
    blocks = _Blocks(attributes)
    settled: list[_Named] = []
    for tag, attribute in attributes:
        creator = attribute.pop(CREATOR, None)
        if creator is not None and is_private(tag):
            owner = tag[:4], creator.strip()
            if owner not in blocks.of:
                number = blocks.reserve(owner, tag[4:6])
                settled.append(_creator_element(owner, number))
            tag = blocks.place(owner, tag)
        settled.append((tag, attribute))
    return settled


class _Blocks:
    """of: the block numbers of each creator, in the order of the data set."""

    def __init__(self, attributes: Sequence[_Named]) -> None:
        self.of: defaultdict[_Owner, list[str]] = defaultdict(list)
        self._taken = {tag for tag, attribute in attributes if CREATOR not in attribute}
        #: Group and block number, of those in use; whose they are, where a creator is named.
        self._reserved: set[str] = set()
        self._owners: dict[str, _Owner] = {}
        #: By group, what may be free still; by creator and element, how many blocks have it.
        self._numbers: defaultdict[str, Iterator[int]] = defaultdict(_all_numbers)
        self._used: defaultdict[tuple[_Owner, str], int] = defaultdict(int)
        for tag, attribute in attributes:
            if CREATOR in attribute or not is_private(tag):
                continue
            if tag[4:6] != "00":
                self._reserved.add(tag[:6])
            elif tag[6:] >= "10":
                name = (attribute.get("Value") or [None])[0]
                self._own(tag[:4], tag[6:], name.strip() if isinstance(name, str) else None)

    def reserve(self, owner: _Owner, wanted: str) -> str:
        """The block number that was left in the tag, or the first that is nobody's."""
        group, creator = owner
        number: str | None = wanted
        if wanted < "10" or group + wanted in self._reserved:
            numbers = (f"{number:02X}" for number in self._numbers[group])
            number = next((n for n in numbers if group + n not in self._reserved), None)
        if number is None:
            raise BadRequest(f"the metadata in XML has more creators than group {group} has blocks")
        self._own(group, number, creator)
        return number

    def place(self, owner: _Owner, tag: str) -> str:
        """Where an attribute goes; to a place that is taken where all are."""
        place = tag
        if self._owners.get(tag[:6]) != owner:  # else some writers leave the block number in
            own, element = self.of[owner], tag[6:]
            place = own[0].join((tag[:4], element))
            while self._used[owner, element] < len(own):
                found = own[self._used[owner, element]].join((tag[:4], element))
                if found not in self._taken:
                    place = found
                    break
                self._used[owner, element] += 1
        self._taken.add(place)
        return place

    def _own(self, group: str, number: str, creator: str | None) -> None:
        self._reserved.add(group + number)
        if creator is not None:
            self.of[group, creator].append(number)
            self._owners[group + number] = group, creator


def _all_numbers() -> Iterator[int]:
    return iter(range(0x10, 0x100))


def _creator_element(owner: _Owner, block: str) -> _Named:
    group, creator = owner
    return f"{group}00{block}", {"vr": "LO", "Value": [creator]}
