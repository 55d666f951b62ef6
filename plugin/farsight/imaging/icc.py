"""ICC profiles of the colour spaces that a client may ask for (PS3.18 8.3.5.1.5), as bytes.

Matrix profiles after ICC.1:2001-04: primaries adapted to D50, and a curve. Written here because
they are a few hundred bytes each and nobody's files come with a licence to be passed on.
"""

from __future__ import annotations

from functools import cache
from struct import pack
from typing import Final

from farsight.ps318.rendering_query import IccProfile

_COPYRIGHT: Final = b"text\0\0\0\0" + b"No copyright, use freely\0"
_D50: Final = (0.9642, 1.0, 0.8249)
#: Name, red, green and blue primaries as XYZ relative to D50, and the exponent; None: sRGB's curve.
_SPACES: Final = {
    IccProfile.SRGB: (
        "sRGB",
        ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
        None,
    ),
    IccProfile.ADOBE_RGB: (
        "Adobe RGB (1998) compatible",
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        563 / 256,
    ),
    IccProfile.ROMM_RGB: (
        "ROMM RGB",
        ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03135, 0.00008, 0.82491)),
        1.8,
    ),
    IccProfile.DISPLAY_P3: (
        "Display P3",
        ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
        None,
    ),
}


@cache
def profile_bytes(space: IccProfile) -> bytes:
    """The profile of one of the named spaces."""
    name, primaries, gamma = _SPACES[space]
    curve = _srgb_curve() if gamma is None else _gamma(gamma)
    red, green, blue = (_xyz(primary) for primary in primaries)
    tags = [
        (b"desc", _description(name)),
        (b"cprt", _COPYRIGHT),
        (b"wtpt", _xyz(_D50)),
        (b"rXYZ", red),
        (b"gXYZ", green),
        (b"bXYZ", blue),
        (b"rTRC", curve),
        (b"gTRC", curve),
        (b"bTRC", curve),
    ]
    return _assembled(tags)


@cache
def grey_profile_bytes() -> bytes:
    """Greys with sRGB's curve: what equal red, green and blue are in sRGB."""
    tags = [
        (b"desc", _description("Grey with the curve of sRGB")),
        (b"cprt", _COPYRIGHT),
        (b"wtpt", _xyz(_D50)),
        (b"kTRC", _srgb_curve()),
    ]
    return _assembled(tags, b"GRAY")


def _assembled(tags: list[tuple[bytes, bytes]], colours: bytes = b"RGB ") -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, body = pack(">L", len(tags)), b""
    known: dict[bytes, int] = {}
    for signature, data in tags:
        if data not in known:
            known[data] = at + len(body)
            body += data + b"\0" * (-len(data) % 4)
        table += signature + pack(">LL", known[data], len(data))
    size = at + len(body)
    header = pack(">LLL4s4s4s", size, 0, 0x02400000, b"mntr", colours, b"XYZ ")
    header += pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28
    header += b"".join(pack(">l", round(value * 65536)) for value in _D50)
    return header.ljust(128, b"\0") + table + body


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(pack(">l", round(value * 65536)) for value in values)


def _description(name: str) -> bytes:
    text = name.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + pack(">L", len(text)) + text + b"\0" * 78


def _gamma(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + pack(">LH", 1, round(exponent * 256))


def _srgb_curve(steps: int = 1024) -> bytes:
    """IEC 61966-2-1 as a table."""
    entries = []
    for step in range(steps):
        share = step / (steps - 1)
        linear = share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        entries.append(round(linear * 65535))
    return b"curv\0\0\0\0" + pack(f">L{steps}H", steps, *entries)
