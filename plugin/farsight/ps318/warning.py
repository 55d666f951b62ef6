"""The Warning header as DICOMweb uses it (PS3.18 8.3.4, RFC 7234 5.5): one place that formats it.

Law: `299 <service>: "<text>"`. PS3.18 writes `299 <service>: text` with the service's base URI;
the quotes of RFC 7234 are kept because several warnings may be joined by commas on the way.
"""

from __future__ import annotations

from collections.abc import Sequence

#: A header can't hold any number of names.
_MAX_NAMED = 8
FUZZY_MATCHING_UNSUPPORTED = (
    "The fuzzymatching parameter is not supported. Only literal matching has been performed."
)
EMPTY_VALUE_MATCHING_UNSUPPORTED = (
    "The emptyvaluematching parameter is not supported. "
    "Empty Value Matching has not been performed."
)
MULTIPLE_VALUE_MATCHING_UNSUPPORTED = (
    "The multiplevaluematching parameter is not supported. "
    "Multiple Value Matching has not been performed."
)
#: Where it is known that more would match, but not how many (PS3.18 8.3.4.4.1 wants a number).
MORE_RESULTS = "There are additional results that can be requested"


def remaining_results(remaining: int) -> str:
    """The text PS3.18 8.3.4.4.1 asks for when `limit` cut the answer."""
    return f"There are {remaining} additional results that can be requested"


def ignored_parameters(names: Sequence[str]) -> list[str]:
    """For parameters that are neither a search parameter nor an attribute (PS3.18 8.3)."""
    said = [
        f"The parameter {name[:80]} is not supported and has been ignored."
        for name in names[:_MAX_NAMED]
    ]
    if more := len(names) - len(said):
        said.append(f"{more} more parameters are not supported and have been ignored.")
    return said


def warning_value(service: str, text: str) -> str:
    """The value of one Warning header: code 299, the service's base URI, the text in quotes.

    Anything that can't stand in a header is replaced, so that no text from a PACS can add a
    header or break the line.
    """
    safe = "".join(c if " " <= c <= "~" else "?" for c in text)
    agent = "".join(c if "!" <= c <= "~" else "?" for c in service)
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 {agent}: "{escaped}"'
