"""Which presentation contexts to propose for what we send (PS3.8 7.1.1.13, PS3.4 B.4).

For what is stored in one syntax there is a context with just that, so that it can go as it is;
and for its class one each for the uncompressed encodings, which every PACS has to take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from farsight.dimse.association import MAX_CONTEXTS, AcceptedContext, ProposedContext
from farsight.dimse.contexts import UNCOMPRESSED


@dataclass(frozen=True, slots=True)
class Kind:
    """What an instance is, and in which transfer syntax it is stored."""

    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Sending:
    """`count` instances in a row that one association does for, and what it proposes."""

    count: int
    contexts: tuple[ProposedContext, ...]


def sendings(kinds: Sequence[Kind | None], *, uncompressed_only: bool) -> Iterator[Sending]:
    """As few associations as do for instances of these kinds in this order; None needs none."""
    count, needed = 0, set[Kind]()
    for kind in kinds:
        more = needed | _wanted(kind, uncompressed_only=uncompressed_only)
        if len(more) > MAX_CONTEXTS:
            yield Sending(count, _proposed(needed))
            count, more = 0, _wanted(kind, uncompressed_only=uncompressed_only)
        count, needed = count + 1, more
    if count:
        yield Sending(count, _proposed(needed))


def _wanted(kind: Kind | None, *, uncompressed_only: bool) -> set[Kind]:
    if kind is None:
        return set()
    wanted = {Kind(kind.sop_class_uid, syntax) for syntax in UNCOMPRESSED}
    return wanted if uncompressed_only else wanted | {kind}


def _proposed(kinds: set[Kind]) -> tuple[ProposedContext, ...]:
    """Always in the same order, so that a kept association is known again."""
    ordered = sorted(kinds, key=lambda kind: (kind.sop_class_uid, kind.transfer_syntax_uid))
    return tuple(
        ProposedContext(kind.sop_class_uid, (kind.transfer_syntax_uid,)) for kind in ordered
    )


def ways_to_send(kind: Kind, accepted: Mapping[int, AcceptedContext]) -> list[AcceptedContext]:
    """The contexts that do for such an instance: as it is stored, explicit, implicit."""
    found = {
        context.transfer_syntax: context
        for context in accepted.values()
        if context.abstract_syntax == kind.sop_class_uid
    }
    wished = dict.fromkeys((kind.transfer_syntax_uid, *UNCOMPRESSED))
    return [found[syntax] for syntax in wished if syntax in found]
