"""What has to hold before Farsight starts, as far as no Orthanc is needed to see it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from farsight import startup_checks
from farsight.startup_checks import StartRefused, check_dicomweb_plugin, check_packages


def installed(site: Path, name: str, version: str) -> None:
    (site / name).mkdir()
    (site / name / "__init__.py").touch()
    description = site / f"{name}-{version}.dist-info"
    description.mkdir()
    (description / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )


def test_the_packages_there_are_will_do() -> None:
    check_packages()


@pytest.mark.parametrize(
    ("version", "least", "refused"),
    [("2.9.9", (3,), True), ("3.0.0", (3,), False), ("3", (3, 1), True), ("3.10", (3, 9), False)],
)
def test_versions(
    version: str,
    least: tuple[int, ...],
    refused: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(tmp_path, "somethingold", version)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(startup_checks, "REQUIRED_PACKAGES", {"somethingold": least})
    if not refused:
        check_packages()
        return
    with pytest.raises(StartRefused, match=rf"'somethingold' {version}, which is older") as said:
        check_packages()
    plugin = Path(startup_checks.__file__).parents[1]
    wanted = f"'somethingold>={'.'.join(map(str, least))}'"
    assert f"pip install --upgrade --target {plugin} {wanted}" in str(said.value)


def test_an_older_python(monkeypatch: pytest.MonkeyPatch) -> None:
    least = (sys.version_info.major, sys.version_info.minor + 1)
    monkeypatch.setattr(startup_checks, "LEAST_PYTHON", least)
    with pytest.raises(StartRefused, match=rf"has to be {least[0]}\.{least[1]}"):
        check_packages()


@pytest.mark.parametrize(
    ("entries", "maps"),
    [
        (["plugins"], ""),
        (["plugins/libOrthancDicomWeb.so"], ""),
        (["{directory}/plugins"], ""),
        ([], "7f00-7f01 r-xp 0 08:01 1 /usr/lib/libOrthancDicomWeb.so.1.20\n"),
    ],
)
def test_the_official_plugin_is_found(entries: list[str], maps: str, tmp_path: Path) -> None:
    """Relative paths count from the configuration's directory."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "libOrthancDicomWeb.so").touch()
    plugins = [entry.format(directory=tmp_path) for entry in entries]
    with pytest.raises(StartRefused, match="official DICOMweb plugin"):
        check_dicomweb_plugin({"Plugins": plugins}, "/dicom-web/", tmp_path, maps)
    check_dicomweb_plugin({"Plugins": plugins}, "/other/", tmp_path, maps)
    check_dicomweb_plugin({"Plugins": []}, "/dicom-web/", tmp_path, "")
