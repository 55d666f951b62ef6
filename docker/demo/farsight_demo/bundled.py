"""The real files among the samples: those that come with pydicom and pydicom-data.

Nothing is altered or fetched: only files that the two packages carry are named here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

#: Below pydicom/data: whole small studies first, then one file each.
PYDICOM = (
    "test_files/dicomdirtests/77654033/**/*",
    "test_files/dicomdirtests/98892001/**/*",
    "test_files/dicomdirtests/98892003/**/*",
    "test_files/CT_small.dcm",
    "test_files/MR_small.dcm",
    "test_files/JPEG-lossy.dcm",
    "test_files/examples_jpeg2k.dcm",
    "test_files/examples_overlay.dcm",
    "test_files/examples_palette.dcm",
    "test_files/examples_rgb_color.dcm",
    "test_files/examples_ybr_color.dcm",
    "test_files/SC_rgb_rle_2frame.dcm",
    "test_files/waveform_ecg.dcm",
    "test_files/rtdose.dcm",
    "test_files/reportsi.dcm",
    "charset_files/chrArab.dcm",
    "charset_files/chrGreek.dcm",
    "charset_files/chrH31.dcm",
    "charset_files/chrHbrw.dcm",
    "charset_files/chrI2.dcm",
    "charset_files/chrRuss.dcm",
    "charset_files/chrX1.dcm",
)
#: Below data_store, the import name of pydicom-data.
PYDICOM_DATA = (
    "data/693_J2KR.dcm",
    "data/MR2_J2KR.dcm",
    "data/RG1_J2KR.dcm",
    "data/RG3_J2KR.dcm",
    "data/eCT_Supplemental.dcm",
    "data/emri_small.dcm",
    "data/liver.dcm",
    "data/mlut_18.dcm",
    "data/vlut_04.dcm",
)


def bundled_files() -> Iterator[Path]:
    """Paths inside the installed packages.

    Raises: FileNotFoundError when a package is missing or has lost a file named here.
    """
    for package, below, patterns in (
        ("pydicom", "data", PYDICOM),
        ("data_store", ".", PYDICOM_DATA),
    ):
        root = _package_directory(package) / below
        for pattern in patterns:
            found = sorted(path for path in root.glob(pattern) if path.is_file())
            if not found:
                raise FileNotFoundError(f"{root / pattern}: not part of the installed package")
            yield from found


def _package_directory(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the Python package {package!r} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
