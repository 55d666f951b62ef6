"""A request that opens a study: told to whoever wants to know; compared with the PACS before it is
answered where its client insists (Cache-Control: no-cache, RFC 9111 5.2.1.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from farsight.ps318.resource_path import ResourcePath
from farsight.web.messages import Request


def _nobody(_study_instance_uid: str) -> None:
    """Nobody wants to know."""


def _nothing(_study_instance_uid: str) -> tuple[str, ...]:
    """Nothing to compare with."""
    return ()


@dataclass(frozen=True, slots=True)
class StudyOpenings:
    """opened: told of each, must not block. refresh: compares a study with the PACS; says why that
    may not have shown all that changed."""

    opened: Callable[[str], None] = _nobody
    refresh: Callable[[str], tuple[str, ...]] = _nothing

    def tell(self, path: ResourcePath) -> None:
        """Of the study of that path, if it is about one."""
        if path.study_instance_uid is not None:
            self.opened(path.study_instance_uid)

    def begin(self, request: Request, path: ResourcePath) -> tuple[Request, tuple[str, ...]]:
        """To be called before a study or series is looked at. The request as it is to be answered,
        and the warnings to go along; what a client has may have come without them.

        Of an instance nothing can have grown. Raises: ArchiveError.
        """
        self.tell(path)
        study = path.study_instance_uid
        if study is None or path.sop_instance_uid is not None or not insists(request):
            return request, ()
        warnings = self.refresh(study)
        if not warnings:
            return request, ()
        headers = {k: v for k, v in request.headers.items() if k != "if-none-match"}
        return replace(request, headers=headers), warnings


#: Where nobody wants to know.
UNHEARD = StudyOpenings()


def insists(request: Request) -> bool:
    """Whether the client wants no answer from before."""
    return "no-cache" in request.headers.get("cache-control", "").lower()
