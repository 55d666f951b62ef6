"""Of which PACS an instance comes that somebody sends: then it is cache, else it is data.

Law: who only stands among the modalities may be a scanner, and what a scanner sends may be nowhere
else. So without the administrator's word that it is a PACS, only what it was asked for is cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from farsight.model import SeriesRef

#: Whether a series was asked for, of one PACS.
Asked = Callable[[SeriesRef], bool]


class PacsSenders:
    """By AE title."""

    def __init__(
        self, named: Mapping[str, str], implied: Mapping[str, tuple[str, Asked]] | None = None
    ) -> None:
        """`named`: AE title -> name, of what the configuration calls a PACS; `implied`: the same
        of other modalities that are searched."""
        self._named = {title.strip(): name for title, name in named.items()}
        self._implied = {title.strip(): told for title, told in (implied or {}).items()}

    def name_of(self, ae_title: str, series: SeriesRef) -> str:
        """The PACS that holds what this sender sends of a series; "" for none."""
        title = ae_title.strip()
        if (name := self._named.get(title)) is not None:
            return name
        name, was_asked = self._implied.get(title, ("", None))
        return name if was_asked is not None and was_asked(series) else ""
