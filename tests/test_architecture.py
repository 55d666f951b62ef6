"""The shape of the plugin: who may import whom, who may import Orthanc, how long a file may be."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent.parent / "plugin"
MODULES = sorted(PLUGIN.rglob("*.py"))
MOST_LINES = 300

#: What each part may import of Farsight, besides itself.
ALLOWED = {
    "errors": set(),
    "model": {"errors"},
    "model_prefetch": set(),
    "dicom": {"errors", "model"},
    "ps318": {"dicom", "errors", "model"},
    "documents": {"dicom", "errors", "model", "ps318"},
    "dimse": {"dicom", "errors", "model", "ps318"},
    "imaging": {"dicom", "errors", "model", "ps318"},
    "ports": {"errors", "imaging", "model"},
    "services": {
        "dicom",
        "dimse",
        "documents",
        "errors",
        "imaging",
        "model",
        "model_prefetch",
        "ports",
        "ps318",
    },
    "adapters": {"dicom", "dimse", "errors", "imaging", "model", "ports", "ps318"},
    "settings": {
        "errors",
        "settings_pacs",
        "settings_prefetch",
        "settings_section",
        "settings_storing",
    },
    "settings_pacs": {"errors", "settings_section"},
    "settings_prefetch": {"errors", "model_prefetch", "settings_pacs", "settings_section"},
    "settings_storing": {"errors", "settings_section"},
    "settings_section": {"dicom", "errors", "ps318"},
    "startup_checks": set(),
    "web": {
        "dicom",
        "dimse",
        "documents",
        "errors",
        "imaging",
        "model",
        "ports",
        "ps318",
        "services",
        "__version__",
    },
    "pacs_wiring": {"adapters", "dimse", "settings", "settings_pacs"},
    "keeping": {
        "adapters",
        "dimse",
        "errors",
        "model",
        "ports",
        "ps318",
        "services",
        "settings",
        "web",
    },
    "opening": {"adapters", "keeping", "pacs_wiring", "services", "settings", "web"},
    "gateway": {
        "adapters",
        "dimse",
        "keeping",
        "model",
        "opening",
        "pacs_wiring",
        "ports",
        "services",
        "settings",
        "settings_pacs",
        "settings_storing",
        "startup_checks",
        "web",
    },
    "farsight_plugin": {"gateway", "startup_checks"},
    "farsight": set(),
}
MAY_IMPORT_ORTHANC = {
    "farsight_plugin.py",
    "farsight/adapters/orthanc_log.py",
    "farsight/adapters/orthanc_manners.py",
    "farsight/adapters/orthanc_rest.py",
    "farsight/web/orthanc_door.py",
}
#: Parts that turn bytes into values and back: nothing of theirs waits for the outside.
SANS_IO = {"errors", "model", "model_prefetch", "dicom", "ps318", "documents", "dimse", "imaging"}
IO_MODULES = {
    "asyncio", "http", "os", "queue", "select", "selectors", "shutil", "signal", "socket",
    "socketserver", "ssl", "subprocess", "threading", "time", "uvicorn",
}  # fmt: skip


def _name(module: Path) -> str:
    return module.relative_to(PLUGIN).as_posix()


def _part(module: Path) -> str:
    """ "web" for farsight/web/routes.py, "errors" for farsight/errors.py, and the entry's stem."""
    pieces = module.relative_to(PLUGIN).with_suffix("").parts
    if pieces == ("farsight", "__init__"):
        return "farsight"
    return pieces[1] if pieces[0] == "farsight" else pieces[0]


def _imported(module: Path) -> Iterator[str]:
    """Dotted names of everything imported anywhere in the file, also inside functions."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(module)}: relative imports hide where things are"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _farsight_parts(module: Path) -> set[str]:
    names = [name.split(".") for name in _imported(module)]
    return {pieces[1] for pieces in names if pieces[0] == "farsight"} - {_part(module)}


def test_there_is_something_to_check() -> None:
    parts = {_part(module) for module in MODULES}
    assert parts == ALLOWED.keys(), "a new part needs its arrows written down here"


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_arrows(module: Path) -> None:
    forbidden = _farsight_parts(module) - ALLOWED[_part(module)]
    assert not forbidden, f"{_part(module)} must not import {sorted(forbidden)}"


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_only_the_edges_know_orthanc(module: Path) -> None:
    imports = any(name.split(".")[0] == "orthanc" for name in _imported(module))
    assert not imports or _name(module) in MAY_IMPORT_ORTHANC


@pytest.mark.parametrize("module", [m for m in MODULES if _part(m) in SANS_IO], ids=_name)
def test_pure_parts_do_no_input_or_output(module: Path) -> None:
    forbidden = {name.split(".")[0] for name in _imported(module)} & IO_MODULES
    assert not forbidden


def test_start_up_checks_need_the_standard_library_only() -> None:
    """They run before anything is known to be installed."""
    module = PLUGIN / "farsight" / "startup_checks.py"
    roots = {name.split(".")[0] for name in _imported(module)}
    assert roots <= sys.stdlib_module_names


def test_the_scripts_stem_is_not_the_packages_name() -> None:
    """Orthanc imports the script by its stem, with its folder first on sys.path."""
    assert [path.stem for path in PLUGIN.glob("*.py")] == ["farsight_plugin"]
    assert (PLUGIN / "farsight" / "__init__.py").is_file()


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_files_stay_short(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: split it"


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_exceptions_are_caught_whole_only_at_the_edges(module: Path) -> None:
    """`except Exception` swallows bugs: at the router and at the end of a thread, nowhere else."""
    edges = {
        "farsight/web/orthanc_door.py",
        "farsight/web/routes.py",
        "farsight/adapters/dimse_endings.py",
        "farsight/adapters/store_events.py",
        "farsight/imaging/worker.py",
        "farsight/services/bookkeeping.py",
        "farsight/services/bulk_queue.py",
        "farsight/services/forwarding.py",
        "farsight/services/eviction.py",
        "farsight/services/metadata_keeper.py",
        "farsight/services/openings.py",
        "farsight/services/persist.py",
        "farsight/services/verification.py",
        "farsight/services/prefetch_schedule.py",
    }
    tree = ast.parse(module.read_text(encoding="utf-8"))
    caught = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert not caught or _name(module) in edges, f"lines {caught}"
