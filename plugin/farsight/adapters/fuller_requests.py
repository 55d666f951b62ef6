"""Associations opened for a query that do for an instance too, where the PACS takes that.

Laws: where it doesn't, the query is asked for alone and what it meets then is what counts: nothing
is learned of the fuller request but not to make it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from farsight.adapters.dimse_connection import Connection
from farsight.dimse.association import AskedBefore, AssociationRequest
from farsight.errors import PacsError, PacsTimeout

LOG = logging.getLogger("farsight.dimse")

Connect = Callable[[AssociationRequest], Connection]


class FullerRequests:
    """Opens associations with one PACS. Thread-safe."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._before: AskedBefore | None = None
        self._is_taken = True

    def __call__(self, request: AssociationRequest) -> Connection:
        """As asked for, or for more. Raises: as `connect` does for `request`."""
        before = self._before
        fuller = request if before is None else before.instead_of(request)
        if fuller != request:
            if (connection := self._in_full(fuller, request)) is not None:
                return connection
            connection = self._connect(request)
            self._is_taken, self._before = False, None  # the query alone was
            return connection
        connection = self._connect(request)
        if request.scp_role_for and self._is_taken:
            self._before = AskedBefore(request, connection.accepted.abstract_syntaxes)
        return connection

    def _in_full(
        self, fuller: AssociationRequest, request: AssociationRequest
    ) -> Connection | None:
        """None if the PACS doesn't take that. Raises: PacsTimeout; less would not be quicker."""
        try:
            connection = self._connect(fuller)
        except PacsTimeout:
            raise
        except PacsError as error:
            LOG.info("%s; asking for less", error)
            return None
        if connection.accepts(request):
            return connection
        connection.release()
        return None
