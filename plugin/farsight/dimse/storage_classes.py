"""Which storage SOP classes a series of a given modality may hold (PS3.3 C.7.3.1.1.1, PS3.4 B.5).

For PACS that don't tell the SOP Class UID in their answers: with the modality, which all of them
tell, the few likely classes can be proposed in every transfer syntax.
"""

from __future__ import annotations

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_SECONDARY = ("7", "7.4", "7.2", "7.3")
_BY_MODALITY: dict[str, tuple[str, ...]] = {
    "CR": ("1", "1.1"),
    "DX": ("1.1", "1", "1.1.1"),
    "MG": ("1.2", "1.2.1", "13.1.3"),
    "IO": ("1.3", "1.3.1"),
    "PX": ("1.1", "1.3"),
    "CT": ("2", "2.1", "2.2", "7"),
    "MR": ("4", "4.1", "4.2", "4.4", "7"),
    "US": ("6.1", "3.1", "6.2", "7"),
    "IVUS": ("3.1", "6.1"),
    "XA": ("12.1", "12.1.1", "12.3", "7"),
    "RF": ("12.2", "12.2.1", "12.1", "7"),
    "NM": ("20", "7"),
    "PT": ("128", "130", "128.1", "7"),
    "OT": _SECONDARY,
    "SC": _SECONDARY,
    "ES": ("77.1.1", "77.1.1.1", "7"),
    "GM": ("77.1.2", "77.1.2.1", "7"),
    "SM": ("77.1.6", "77.1.3", "77.1.2"),
    "XC": ("77.1.4", "77.1.4.1", "7"),
    "OP": ("77.1.5.1", "77.1.5.2", "77.1.5.5", "77.1.5.6", "7"),
    "OPT": ("77.1.5.4", "77.1.5.8"),
    "OAM": ("78.7", "78.8"),
    "SR": ("88.22", "88.33", "88.11", "88.34", "88.67"),
    "KO": ("88.59",),
    "PR": ("11.1", "11.2", "11.3", "11.4", "11.8"),
    "SEG": ("66.4", "66.5", "66.7", "66.8"),
    "REG": ("66.1", "66.3"),
    "FID": ("66.2",),
    "RWV": ("67",),
    "DOC": ("104.1", "104.2", "104.3"),
    "M3D": ("104.3", "104.4", "104.5"),
    "RTIMAGE": ("481.1",),
    "RTDOSE": ("481.2",),
    "RTSTRUCT": ("481.3",),
    "RTPLAN": ("481.5", "481.8"),
    "RTRECORD": ("481.4", "481.6", "481.7", "481.9"),
    "ECG": ("9.1.1", "9.1.2", "9.1.3"),
    "HD": ("9.2.1", "9.1.1"),
    "EPS": ("9.3.1",),
    "AU": ("9.4.1", "9.4.2"),
    "RESP": ("9.6.1", "9.6.2"),
    "PLAN": ("481.5",),
}


def likely_classes(modality: str) -> tuple[str, ...]:
    """The classes such a series most likely holds, likeliest first; none for unknown modalities."""
    return tuple(_STORAGE + suffix for suffix in _BY_MODALITY.get(modality, ()))
