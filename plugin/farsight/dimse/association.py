"""Association negotiation (PS3.8 9.3.2 to 9.3.4): values to PDU bytes and back.

pynetdicom's primitives spell the A-ASSOCIATE-RQ; the encoded request is kept, because the same
few requests are sent again and again. The answer is read here, into one small value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context

from farsight.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

#: PS3.8 9.3.2.2: odd context IDs from 1 to 255.
MAX_CONTEXTS = 128
#: What we tell the peer it may send in one P-DATA-TF, in bytes.
MAX_PDU_BYTES = 262_144

PDU_ASSOCIATE_AC = 0x02
PDU_ASSOCIATE_RJ = 0x03
PDU_DATA = 0x04
PDU_RELEASE_RQ = 0x05
PDU_RELEASE_RP = 0x06
PDU_ABORT = 0x07

RELEASE_RQ = struct.pack(">BBLL", PDU_RELEASE_RQ, 0, 4, 0)
RELEASE_RP = struct.pack(">BBLL", PDU_RELEASE_RP, 0, 4, 0)
#: Source 0: service user (PS3.8 9.3.8).
ABORT = struct.pack(">BBLL", PDU_ABORT, 0, 4, 0)


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context to propose: abstract syntax, transfer syntaxes in preference."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Who we say we are (PS3.7 D.3.3.7): a name, with a passcode or without."""

    username: str
    passcode: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """Everything an A-ASSOCIATE-RQ says.

    scp_role_for: SOP classes we want C-STOREs of. performed_operations: how many of them the
    peer may send before the first is answered (PS3.7 D.3.3.3); 1 says nothing of it.
    """

    calling_ae_title: str
    called_ae_title: str
    contexts: tuple[ProposedContext, ...]
    scp_role_for: tuple[str, ...] = ()
    performed_operations: int = 1
    user_identity: UserIdentity | None = None

    def serves(self, other: AssociationRequest) -> bool:
        """Whether an association so asked for does for `other` too, if the peer accepts as much.

        Only where nothing is to be sent to us: which of many storage contexts a peer takes may
        depend on how many there are. On contexts for what is sent to us we send nothing.
        """
        return (
            not other.scp_role_for
            and set(other.contexts) <= set(self.contexts)
            and not {context.abstract_syntax for context in other.contexts} & {*self.scp_role_for}
            and (self.calling_ae_title, self.called_ae_title, self.user_identity)
            == (other.calling_ae_title, other.called_ae_title, other.user_identity)
        )


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A context the peer accepted, with the one transfer syntax it chose."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The association stands. max_pdu_bytes is the peer's limit for us; 0 means none."""

    contexts: Mapping[int, AcceptedContext]
    max_pdu_bytes: int
    refused: tuple[str, ...] = field(default=())

    @property
    def abstract_syntaxes(self) -> frozenset[str]:
        return frozenset(context.abstract_syntax for context in self.contexts.values())

    def context_for(self, abstract_syntax: str) -> AcceptedContext | None:
        return next(
            (c for c in self.contexts.values() if c.abstract_syntax == abstract_syntax), None
        )


@dataclass(frozen=True, slots=True)
class AskedBefore:
    """What a peer was asked for to send us instances, and the abstract syntaxes it accepted."""

    request: AssociationRequest
    accepted: frozenset[str]

    def instead_of(self, request: AssociationRequest) -> AssociationRequest:
        """That again, where it does for `request` too, and for instances; else `request`."""
        likes = request.contexts[0].abstract_syntax in self.accepted
        sends = not self.accepted.isdisjoint(self.request.scp_role_for)
        return self.request if likes and sends and self.request.serves(request) else request


@dataclass(frozen=True, slots=True)
class Rejected:
    """A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int

    @property
    def transient(self) -> bool:
        return self.result == 2

    @property
    def too_many(self) -> bool:
        """Whether another association may be had once one of ours is over."""
        return self.source == 3 or (self.transient and (self.source, self.reason) == (1, 1))

    def __str__(self) -> str:
        text = _REJECTIONS.get((self.source, self.reason), f"source {self.source}")
        kind = "transient" if self.transient else "permanent"
        return f"association rejected ({kind}): {text} (reason {self.reason})"


_REJECTIONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


class ProtocolError(Exception):
    """The peer broke PS3.7 or PS3.8; the association can't go on."""


@lru_cache(maxsize=64)
def encode_request(request: AssociationRequest) -> bytes:
    """The A-ASSOCIATE-RQ PDU. Context IDs are 1, 3, 5 … in the order of `contexts`.

    Raises: ValueError for more than MAX_CONTEXTS contexts or an impossible AE title.
    """
    if len(request.contexts) > MAX_CONTEXTS:
        raise ValueError(f"{len(request.contexts)} presentation contexts, at most {MAX_CONTEXTS}")
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = request.calling_ae_title
    primitive.called_ae_title = request.called_ae_title
    contexts = []
    for number, proposed in enumerate(request.contexts):
        context = build_context(proposed.abstract_syntax, list(proposed.transfer_syntaxes))
        context.context_id = 2 * number + 1
        contexts.append(context)
    primitive.presentation_context_definition_list = contexts
    primitive.user_information = _user_information(request)
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return pdu.encode()


def _user_information(request: AssociationRequest) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = MAX_PDU_BYTES
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    items: list[Any] = [length, class_uid, version]
    for sop_class_uid in request.scp_role_for:
        role = SCP_SCU_RoleSelectionNegotiation()
        role.sop_class_uid = sop_class_uid
        role.scu_role = False
        role.scp_role = True
        items.append(role)
    if request.performed_operations != 1:
        window = AsynchronousOperationsWindowNegotiation()
        window.maximum_number_operations_invoked = 1
        window.maximum_number_operations_performed = request.performed_operations
        items.append(window)
    if request.user_identity is not None:
        items.append(_identity(request.user_identity))
    return items


def _identity(user: UserIdentity) -> UserIdentityNegotiation:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2 if user.passcode else 1
    identity.positive_response_requested = False
    identity.primary_field = user.username.encode("utf-8")
    identity.secondary_field = user.passcode.encode("utf-8") if user.passcode else b""
    return identity


def read_reply(request: AssociationRequest, pdu_type: int, body: bytes) -> Accepted | Rejected:
    """What the peer answered to `request`. `body` is the PDU without its six-byte header.

    Raises: ProtocolError for anything but a well-formed A-ASSOCIATE-AC or -RJ.
    """
    if pdu_type == PDU_ASSOCIATE_RJ and len(body) >= 4:
        return Rejected(body[1], body[2], body[3])
    if pdu_type == PDU_ABORT and len(body) >= 4:
        raise ProtocolError(f"association aborted by the peer (source {body[2]}, reason {body[3]})")
    if pdu_type != PDU_ASSOCIATE_AC:
        raise ProtocolError(f"PDU type 0x{pdu_type:02X} in answer to A-ASSOCIATE-RQ")
    accepted: dict[int, AcceptedContext] = {}
    refused: list[str] = []
    max_pdu_bytes = 0
    for item_type, value in _items(body, 68):
        if item_type == 0x21:
            context = _read_context(request, value)
            if isinstance(context, AcceptedContext):
                accepted[context.context_id] = context
            else:
                refused.append(context)
        elif item_type == 0x50:
            for sub_type, sub_value in _items(value, 0):
                if sub_type == 0x51 and len(sub_value) == 4:
                    (max_pdu_bytes,) = struct.unpack(">L", sub_value)
    return Accepted(accepted, max_pdu_bytes, tuple(refused))


def _read_context(request: AssociationRequest, value: bytes) -> AcceptedContext | str:
    """An accepted context, or the abstract syntax of one that was refused."""
    if len(value) < 4:
        raise ProtocolError("presentation context item too short")
    context_id, result = value[0], value[2]
    index = (context_id - 1) // 2
    if context_id % 2 == 0 or index >= len(request.contexts):
        raise ProtocolError(f"answer for presentation context {context_id}, never proposed")
    proposed = request.contexts[index]
    if result != 0:
        return proposed.abstract_syntax
    for item_type, uid in _items(value, 4):
        if item_type == 0x40:
            syntax = uid.rstrip(b"\0 ").decode("ascii", "replace")
            if syntax not in proposed.transfer_syntaxes:
                raise ProtocolError(f"transfer syntax {syntax!r} accepted, never proposed")
            return AcceptedContext(context_id, proposed.abstract_syntax, syntax)
    raise ProtocolError("accepted presentation context without transfer syntax")


def _items(data: bytes, offset: int) -> list[tuple[int, bytes]]:
    """The items of variable length from `offset` on: (type, value)."""
    found = []
    while offset < len(data):
        if offset + 4 > len(data):
            raise ProtocolError("truncated item in A-ASSOCIATE-AC")
        item_type, length = struct.unpack_from(">BxH", data, offset)
        offset += 4
        if offset + length > len(data):
            raise ProtocolError("item in A-ASSOCIATE-AC longer than the PDU")
        found.append((item_type, data[offset : offset + length]))
        offset += length
    return found
