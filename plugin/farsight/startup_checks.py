"""What has to hold before Farsight starts; what doesn't is refused with the way to mend it.

Only the standard library is imported here: this runs before anything else may be.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

LEAST_PYTHON = (3, 11)
#: The packages Farsight imports, with what these can't be imported without; each with the least
#: version that will do. Debian 12 has pydicom 2, which won't.
REQUIRED_PACKAGES = {
    "pydicom": (3,),
    "pynetdicom": (3,),
    "uvicorn": (0, 30),
    "httptools": (0, 6),
    "click": (8,),
    "h11": (0, 14),
    "numpy": (1, 26),
    "pillow": (10,),
    "imagecodecs": (2024, 9),
}
_IMPORTED_AS = {"pillow": "PIL"}
#: Where Orthanc has Python look for packages.
_BESIDE_THE_SCRIPT = Path(__file__).parents[1]
#: SDK functions without which nothing works (all are in python plugin 4.0).
REQUIRED_SDK = (
    "GetConfiguration",
    "LogError",
    "LogInfo",
    "LogWarning",
    "RegisterOnChangeCallback",
    "RegisterRestCallback",
    "RestApiGet",
    "RestApiPost",
    "RestApiPut",
)


class StartRefused(Exception):
    """Farsight doesn't start; the message says why and what to do. It ends Orthanc's start."""


def check_packages() -> None:
    """Raises: StartRefused naming what is missing or too old, and the line that installs it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        raise StartRefused(f"Farsight: Orthanc embeds Python {version}; it has to be {least}")
    wrong = {name: why for name in REQUIRED_PACKAGES if (why := _what_is_wrong(name))}
    if not wrong:
        return
    wanted = " ".join(f"'{name}>={'.'.join(map(str, REQUIRED_PACKAGES[name]))}'" for name in wrong)
    directory = shlex.quote(str(_BESIDE_THE_SCRIPT))
    raise StartRefused(
        f"Farsight: Python {version} embedded in Orthanc {'; '.join(wrong.values())}. Install "
        f"with: python{version} -m pip install --upgrade --target {directory} {wanted}"
    )


def _what_is_wrong(package: str) -> str:
    """ "" where the package is there and new enough."""
    if importlib.util.find_spec(_IMPORTED_AS.get(package, package)) is None:
        return f"finds no package {package!r}"
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""  # copied there without its description: it can't tell
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    least = REQUIRED_PACKAGES[package]
    if numbers >= least:
        return ""
    return f"finds {package!r} {version}, which is older than {'.'.join(map(str, least))}"


def check_sdk(available: Collection[str]) -> None:
    """`available`: the names of the orthanc module. Raises: StartRefused."""
    missing = [name for name in REQUIRED_SDK if name not in available]
    if missing:
        raise StartRefused(
            "Farsight: this Orthanc Python plugin lacks "
            f"{', '.join(missing)}; it has to be version 4.0 or later (5.0 or later in production)"
        )


def check_threads(
    configuration: Mapping[str, Any], plugin_libraries: Iterable[Path], *, can_stream: bool
) -> bool:
    """Whether SDK calls release the interpreter lock; refuses where they could but don't.

    Which plugin knows the option is seen from the plugin itself, not from its version: the
    option's name is in its library (split by the compiler in some), and every plugin that can
    stream answers knows it.

    Raises: StartRefused.
    """
    named = any(b"AllowThr" in library.read_bytes() for library in plugin_libraries)
    knows = can_stream or named
    python = configuration.get("Python", {})
    value = python.get("AllowThreads", False) if isinstance(python, Mapping) else python
    if knows and value is not True:
        raise StartRefused(
            f'Farsight: "Python.AllowThreads" is {value!r}: it has to be true, or one slow client '
            'blocks every other. Add "Python": {"AllowThreads": true} to the configuration'
        )
    return knows


def loaded_python_plugins(maps: str) -> list[Path]:
    """The Orthanc Python plugin's library, from the text of /proc/self/maps."""
    names = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "OrthancPython" in line}
    return sorted(Path(name) for name in names if name.startswith("/"))


def check_dicomweb_plugin(
    configuration: Mapping[str, Any], root: str, directory: Path, maps: str
) -> None:
    """The official DICOMweb plugin must not own our root.

    `directory`: what relative paths are relative to; `maps`: the text of /proc/self/maps.
    Raises: StartRefused.
    """
    official = configuration.get("DicomWeb", {})
    official = official if isinstance(official, Mapping) else {}
    if official.get("Enable", True) is False:
        return
    if "OrthancDicomWeb" not in maps and not _will_load_dicomweb(configuration, directory):
        return
    theirs = "/" + str(official.get("Root", "/dicom-web/")).strip("/") + "/"
    if theirs.startswith(root) or root.startswith(theirs):
        raise StartRefused(
            f'Farsight: "Farsight.Root" is {root!r}, and the official DICOMweb plugin is loaded '
            f'with the root {theirs!r}: they can\'t share it. Set "DicomWeb": '
            '{"Enable": false}, or give one of them another root'
        )


def official_wado_uri(configuration: Mapping[str, Any], directory: Path, maps: str) -> str:
    """Where the official DICOMweb plugin has WADO-URI, with both slashes; "" where it hasn't."""
    official = configuration.get("DicomWeb", {})
    official = official if isinstance(official, Mapping) else {}
    if official.get("Enable", True) is False or official.get("EnableWado", True) is False:
        return ""
    if "OrthancDicomWeb" not in maps and not _will_load_dicomweb(configuration, directory):
        return ""
    return "/" + str(official.get("WadoRoot", "/wado")).strip("/") + "/"


def _will_load_dicomweb(configuration: Mapping[str, Any], directory: Path) -> bool:
    plugins = configuration.get("Plugins", [])
    for entry in plugins if isinstance(plugins, list) else []:
        path = directory / str(entry)
        names = [found.name for found in path.iterdir()] if path.is_dir() else [path.name]
        if any("OrthancDicomWeb" in name for name in names):
            return True
    return False
