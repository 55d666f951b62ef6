"""Which content codings a client takes (RFC 9110 12.5.3)."""

from __future__ import annotations


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a header Accept-Encoding allows gzip (RFC 9110 12.5.3); an absent one does not."""
    weights: dict[str, bool] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=").rstrip("0").rstrip(".")
        weights[coding.strip()] = not parameters or weight not in ("", "0")
    return weights.get("gzip", weights.get("*", False))
