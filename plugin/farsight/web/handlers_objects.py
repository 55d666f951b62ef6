"""Whole DICOM objects over HTTP: an instance, a series, a study (PS3.18 10.4.1.1.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from farsight.errors import MalformedDicom, NotAcceptable
from farsight.imaging.syntaxes import ENCODABLE
from farsight.model import InstanceRef, Level
from farsight.ps318.accept import Accept
from farsight.ps318.media_type import Offer, choose_dicom, takes_any_dicom
from farsight.ps318.multipart_related import Headers, Part
from farsight.ps318.resource_path import ResourcePath
from farsight.services.holdings import Holdings
from farsight.services.object_file import ObjectFile, file_of
from farsight.services.presence import ClientGone, Presence
from farsight.services.serve import ServeService
from farsight.services.transcoding import TranscodeService
from farsight.web.byte_range import with_range
from farsight.web.conditional import UNCHANGING, conditional, instance_tag
from farsight.web.messages import Request, Response
from farsight.web.related_response import VARY, maybe_short, related
from farsight.web.settled import settled_series
from farsight.web.targets import accept_of, instance_of

_DICOM = "application/dicom"


class ObjectsHandler:
    """An answer that may not be all there is has status 206 and says why in a Warning."""

    def __init__(self, serve: ServeService, transcode: TranscodeService, root: str) -> None:
        """`root`: "/dicom-web/"."""
        self._serve = serve
        self._transcode = transcode
        self._root = root

    def __call__(self, request: Request, path: ResourcePath) -> Response:
        """Raises: NotFound, NotAcceptable, PacsError, ArchiveError, MalformedDicom."""
        if path.level is Level.IMAGE:
            return self.instance(request, instance_of(path), accept_of(request))
        settled, warnings = settled_series(self._serve, path, request.presence)
        objects = _Objects(self._serve, self._transcode, accept_of(request), settled)
        objects.check(request.presence)
        return maybe_short(related(_DICOM, objects), warnings, request.base_url + self._root)

    def instance(self, request: Request, ref: InstanceRef, accept: Accept) -> Response:
        """One object, by itself unless the client wants it as a part. Raises: as when called."""
        instance = self._serve.instance(ref)
        syntax = instance.transfer_syntax_uid
        others = self._transcode.targets(instance)
        offer = choose_dicom(accept, syntax, single_part=True, others=others)
        offer, part = _sent(self._transcode, accept, offer, file_of(instance), single_part=True)
        tag = instance_tag(instance, f"-{offer.transfer_syntax_uid}", parts=offer.multipart)
        if offer.multipart:
            response = related(_DICOM, [part])
        else:
            response = with_range(request, (*part.headers, VARY), part.body, tag)
        return conditional(request, response, tag, UNCHANGING)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Objects of one kind are sent alike."""

    transfer_syntax_uid: str
    others: tuple[str, ...]


class _Objects:
    """The parts of many instances, read anew at each run; each as the client accepts it."""

    def __init__(
        self,
        serve: ServeService,
        transcode: TranscodeService,
        accept: Accept,
        settled: Collection[Holdings],
    ) -> None:
        self._serve = serve
        self._transcode = transcode
        self._accept = accept
        self._settled = settled
        self._unchanged: dict[str, Offer | None] = {}
        self._offers: dict[_Kind, Offer] = {}

    def check(self, presence: Presence) -> None:
        """No answer begins whose first object can't be read, or that holds one not accepted.

        Raises: NotAcceptable, ClientGone, and what reading an instance raises.
        """
        takes_any = takes_any_dicom(self._accept)
        for number, file in enumerate(self._files()):
            if number == 0:
                file.instance()
            self._offer(file)
            if takes_any:
                break
            if presence.gone:
                raise ClientGone("the client has left")

    def __iter__(self) -> Iterator[Part]:
        for file in self._files():
            _, part = _sent(self._transcode, self._accept, self._offer(file), file)
            yield part

    def sizes(self) -> list[tuple[Headers, int]] | None:
        """None where an object is sent in another form than it is stored in."""
        found: list[tuple[Headers, int]] = []
        for holdings in self._settled:
            for file in self._serve.sizes(holdings):
                offer = self._as_stored(file.transfer_syntax_uid)
                if offer is None:
                    return None
                found.append(((("Content-Type", offer.content_type),), file.size))
        return found

    def _files(self) -> Iterator[ObjectFile]:
        for holdings in self._settled:
            yield from self._serve.files(holdings)

    def _offer(self, file: ObjectFile) -> Offer:
        syntax = file.transfer_syntax_uid
        offer = self._as_stored(syntax)
        if offer is None:
            offer = self._best(_Kind(syntax, self._transcode.targets(file.instance())))
        return offer

    def _as_stored(self, syntax: str) -> Offer | None:
        """As it is stored, where the client likes that best of all there might be of any object.

        Then nothing has to be known of the object.
        """
        if syntax not in self._unchanged:
            try:
                offer = choose_dicom(self._accept, syntax, single_part=False, others=ENCODABLE)
            except NotAcceptable:
                self._unchanged[syntax] = None
            else:
                self._unchanged[syntax] = offer if offer.as_stored else None
        return self._unchanged[syntax]

    def _best(self, kind: _Kind) -> Offer:
        if kind not in self._offers:
            self._offers[kind] = choose_dicom(
                self._accept, kind.transfer_syntax_uid, single_part=False, others=kind.others
            )
        return self._offers[kind]


def _sent(
    transcode: TranscodeService,
    accept: Accept,
    offer: Offer,
    file: ObjectFile,
    *,
    single_part: bool = False,
) -> tuple[Offer, Part]:
    """One object in the form chosen; as it is stored where its pixels turn out not to be decodable
    and the client named nothing else. Raises: MalformedDicom, NotAcceptable, ImagingBusy."""
    body = file.data
    if not offer.as_stored:
        try:
            body = transcode.whole(file.instance(), offer.transfer_syntax_uid)
        except (MalformedDicom, NotAcceptable):
            syntax = file.transfer_syntax_uid
            offer = choose_dicom(accept, syntax, single_part=single_part)
            if not offer.as_stored:
                body = transcode.whole(file.instance(), offer.transfer_syntax_uid)
    return offer, Part((("Content-Type", offer.content_type),), body)
