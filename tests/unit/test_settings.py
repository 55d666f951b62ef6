"""Settings: what is read, what is refused, and that the words help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farsight.errors import SettingsError
from farsight.settings import Settings, read_settings
from farsight.settings_pacs import PacsSettings, TlsSettings
from farsight.settings_storing import StowSettings, check_orthancs_own

PACS = {"AET": "ARCHIVE", "Host": "pacs.example.org", "Port": 104}


def test_nothing_said() -> None:
    settings = read_settings({})
    assert settings == Settings(calling_ae_title="ORTHANC")
    assert settings.root == "/dicom-web/"
    assert settings.http.bind == "127.0.0.1", "nothing is open to the network by default"
    assert settings.pacs == ()


def test_everything_said() -> None:
    settings = read_settings(
        {
            "DicomAet": "GATEWAY",
            "DicomModalities": {"a": PACS, "b": ["B", "10.0.0.2", 11112], "c": ["C", "c", 1]},
            "Farsight": {
                "Root": "/pacs/web/",
                "Http": {
                    "Enabled": False,
                    "Bind": "::1",
                    "Port": 0,
                    "Threads": 8,
                    "PublicUrl": "https://pacs.example.org/",
                    "TrustedProxies": ["10.0.0.0/8", "::1"],
                },
                "Ohif": {"Root": "/viewer/", "Directory": "/opt/ohif"},
                "Memory": {"MaxMegabytes": 64},
                "Search": {"MaxResults": 100},
                "Pacs": {
                    "b": {
                        "Retrieve": "c-move",
                        "MaxAssociations": 1,
                        "Uncompressed": True,
                        "ConnectTimeout": 1,
                        "AcseTimeout": 2,
                        "DimseTimeout": 3.5,
                        "IdleTimeout": 4,
                        "Root": "/b/",
                        "SearchTimeout": 5,
                        "CharacterSet": "\\ISO 2022 IR 87",
                        "MatchHere": ["ModalitiesInStudy", "00080020"],
                    }
                },
            },
        }
    )
    assert settings.calling_ae_title == "GATEWAY"
    assert settings.root == "/pacs/web/"
    assert not settings.http.enabled
    assert (settings.http.bind, settings.http.port, settings.http.threads) == ("::1", 0, 8)
    assert settings.http.public_url == "https://pacs.example.org"
    assert settings.http.trusted_proxies == ("10.0.0.0/8", "::1")
    assert (settings.ohif_root, str(settings.ohif_directory)) == ("/viewer/", "/opt/ohif")
    assert settings.memory_bytes == 64 << 20
    assert settings.pacs == (
        PacsSettings(
            *("b", "B", "10.0.0.2", 11112, "c-move", 1, True, 1.0, 2.0, 3.5, 4.0),
            root="/b/",
            search_timeout_s=5.0,
            character_set="\\ISO 2022 IR 87",
            match_here=frozenset({"00080061", "00080020"}),
        ),
    )
    assert settings.search_max_results == 100


def test_every_pacs_whose_name_goes_into_a_path_has_a_root_of_its_own() -> None:
    modalities = {"a-1": PACS, "b c": PACS, "..": PACS, "d": PACS}
    settings = read_settings(
        {
            "DicomModalities": modalities,
            "Farsight": {"Pacs": {**{name: {} for name in modalities}, "d": {"Root": ""}}},
        }
    )
    roots = {pacs.name: pacs.root for pacs in settings.pacs}
    assert roots == {"a-1": "/pacs/a-1/dicom-web/", "b c": "", "..": "", "d": ""}


def test_without_a_choice_every_modality_that_allows_find_is_a_source() -> None:
    modalities = {"a": PACS, "b": {**PACS, "AllowFind": False}, "c": ["C", "c", "11112"]}
    settings = read_settings({"DicomModalities": modalities})
    assert [(pacs.name, pacs.port) for pacs in settings.pacs] == [("a", 104), ("c", 11112)]


@pytest.mark.parametrize(
    ("section", "key", "allowed"),
    [
        ([], "Farsight", "object"),
        ({"Rooot": "/"}, "Farsight.Rooot", "unknown key; allowed: "),
        ({"Root": "/"}, "Farsight.Root", "both slashes"),
        ({"Root": "/a/../b/"}, "Farsight.Root", "both slashes"),
        ({"Root": "/a b/"}, "Farsight.Root", "both slashes"),
        ({"Root": 5}, "Farsight.Root", "string"),
        ({"Root": "/ohif/"}, "Farsight.Root", "Farsight.Ohif.Root"),
        ({"Root": "/studies/"}, "Farsight.Root", "Orthanc's own"),
        ({"Ohif": {"Root": "/app/ohif/"}}, "Farsight.Ohif.Root", "Orthanc's own"),
        ({"Http": {"Port": 8042}}, "Farsight.Http.Port", "HttpPort"),
        ({"Http": {"Port": 4242}}, "Farsight.Http.Port", "DicomPort"),
        ({"Http": {"PublicUrl": "http://a:b:c"}}, "Farsight.Http.PublicUrl", "https://"),
        ({"Http": {"PublicUrl": "http://[::1"}}, "Farsight.Http.PublicUrl", "https://"),
        ({"Http": {"TrustedProxies": [5]}}, "Farsight.Http.TrustedProxies", "network"),
        ({"Root": "/farsight/"}, "Farsight.Root", "/farsight/"),
        ({"Ohif": {"Root": "/dicom-web/ohif/"}}, "Farsight.Ohif.Root", "Farsight.Root"),
        ({"Http": 5}, "Farsight.Http", "object"),
        ({"Http": {"Port": -1}}, "Farsight.Http.Port", "0 to 65535"),
        ({"Http": {"Port": True}}, "Farsight.Http.Port", "whole number"),
        ({"Http": {"Port": 80.5}}, "Farsight.Http.Port", "whole number"),
        ({"Http": {"Enabled": 1}}, "Farsight.Http.Enabled", "true or false"),
        ({"Http": {"Threads": 3}}, "Farsight.Http.Threads", "4 to 1024"),
        ({"Http": {"Bind": "0.0.0.256"}}, "Farsight.Http.Bind", "IP address"),
        ({"Http": {"PublicUrl": "pacs.example.org"}}, "Farsight.Http.PublicUrl", "https://"),
        ({"Http": {"PublicUrl": "https://a/?q"}}, "Farsight.Http.PublicUrl", "https://"),
        ({"Http": {"TrustedProxies": "10.0.0.1"}}, "Farsight.Http.TrustedProxies", "list"),
        ({"Http": {"TrustedProxies": ["proxy"]}}, "Farsight.Http.TrustedProxies", "network"),
        ({"Http": {"TrustedProxies": [None]}}, "Farsight.Http.TrustedProxies", "network"),
        ({"Memory": {"MaxMegabytes": 15}}, "Farsight.Memory.MaxMegabytes", "16"),
        ({"Search": {"CacheSeconds": -1}}, "Farsight.Search.CacheSeconds", "0"),
        ({"Search": {"Cache": 1}}, "Farsight.Search.Cache", "CacheSeconds"),
        ({"Pacs": {"x": {}}}, "Farsight.Pacs.x", "there: a"),
        ({"Pacs": {"a": None}}, "Farsight.Pacs.a", "object"),
        ({"Pacs": {"a": {"Retrieve": "C-GET"}}}, "Farsight.Pacs.a.Retrieve", "auto, c-get"),
        ({"Pacs": {"a": {"Retrieve": []}}}, "Farsight.Pacs.a.Retrieve", "auto, c-get"),
        ({"Pacs": {"a": {"MaxAssociations": 0}}}, "Farsight.Pacs.a.MaxAssociations", "1 to 100"),
        ({"Pacs": {"a": {"DimseTimeout": "30"}}}, "Farsight.Pacs.a.DimseTimeout", "seconds"),
        ({"Pacs": {"a": {"IdleTimeout": float("nan")}}}, "Farsight.Pacs.a.IdleTimeout", "seconds"),
        ({"Pacs": {"a": {"IdleTimeout": 3601}}}, "Farsight.Pacs.a.IdleTimeout", "3600"),
        ({"Pacs": {"a": {"Host": "b"}}}, "Farsight.Pacs.a.Host", "unknown key"),
        (
            {"Pacs": {"a": {"UserIdentity": {"Passcode": "x"}}}},
            "Farsight.Pacs.a.UserIdentity.Username",
            "goes together",
        ),
        ({"Pacs": {"a": {"UserIdentity": "x"}}}, "Farsight.Pacs.a.UserIdentity", "object"),
        ({"Search": {"MaxResults": 99}}, "Farsight.Search.MaxResults", "100"),
        ({"Pacs": {"a": {"Root": "/a"}}}, "Farsight.Pacs.a.Root", "both slashes"),
        ({"Pacs": {"a": {"Root": "/dicom-web/a/"}}}, "Farsight.Pacs.a.Root", "Farsight.Root"),
        ({"Pacs": {"a": {"Root": "/studies/a/"}}}, "Farsight.Pacs.a.Root", "Orthanc's own"),
        ({"Root": "/pacs/"}, "Farsight.Pacs.a.Root", "below Farsight.Root"),
        ({"Pacs": {"a": {"CharacterSet": "latin1"}}}, "Farsight.Pacs.a.CharacterSet", "ISO_IR"),
        (
            {"Pacs": {"a": {"CharacterSet": "ISO_IR 192\\ISO 2022 IR 87"}}},
            "Farsight.Pacs.a.CharacterSet",
            "defined terms",
        ),
        ({"Pacs": {"a": {"MatchHere": "Modality"}}}, "Farsight.Pacs.a.MatchHere", "list"),
        ({"Pacs": {"a": {"MatchHere": ["Modalty"]}}}, "Farsight.Pacs.a.MatchHere", "keyword"),
        ({"Pacs": {"a": {"SearchTimeout": 0}}}, "Farsight.Pacs.a.SearchTimeout", "seconds"),
    ],
)
def test_refused(section: Any, key: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"Farsight": section, "DicomModalities": {"a": PACS}})
    assert refused.value.key == key
    assert str(refused.value).startswith(f"{key} is ")
    assert allowed in str(refused.value)


@pytest.mark.parametrize(
    ("modalities", "key"),
    [
        ([], "DicomModalities"),
        ({"a": "PACS"}, "DicomModalities.a"),
        ({"a": ["A", "host"]}, "DicomModalities.a"),
        ({"a": {**PACS, "Host": ""}}, "DicomModalities.a.Host"),
        ({"a": {**PACS, "Port": "x"}}, "DicomModalities.a.Port"),
        ({"a": {**PACS, "Port": True}}, "DicomModalities.a.Port"),
        ({"a": {**PACS, "Port": 65536}}, "DicomModalities.a.Port"),
        ({"a": {**PACS, "AET": "  "}}, "DicomModalities.a.AET"),
        ({"a": {**PACS, "AET": "A\\B"}}, "DicomModalities.a.AET"),
        ({"a": {**PACS, "AET": "SEVENTEEN LETTERS"}}, "DicomModalities.a.AET"),
    ],
)
def test_modalities_refused(modalities: Any, key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"DicomModalities": modalities})
    assert refused.value.key == key


def test_own_ae_title_refused() -> None:
    with pytest.raises(SettingsError, match="DicomAet"):
        read_settings({"DicomAet": ""})


def test_user_identity_and_its_secrets() -> None:
    def read(identity: dict[str, object]) -> PacsSettings:
        section = {"Pacs": {"a": {"UserIdentity": identity}}}
        return read_settings({"Farsight": section, "DicomModalities": {"a": PACS}}).pacs[0]

    found = read({"Username": "farsight", "Passcode": "sesame"})
    assert (found.username, found.passcode) == ("farsight", "sesame")
    assert "sesame" not in repr(found)
    for wrong in (
        {"Username": "u", "Password": "sesame"},
        {"Username": "u", "Passcode": ["sesame"]},
    ):
        with pytest.raises(SettingsError) as refused:
            read(wrong)
        assert "sesame" not in str(refused.value)


def test_tls_of_orthanc(tmp_path: Path) -> None:
    files = {}
    for key in ("DicomTlsTrustedCertificates", "DicomTlsCertificate", "DicomTlsPrivateKey"):
        files[key] = str(tmp_path / key)
        Path(files[key]).write_text("x")
    modalities = {"a": {**PACS, "UseDicomTls": True}, "b": PACS}
    secured, plain = read_settings({"DicomModalities": modalities, **files}).pacs
    assert secured.tls == TlsSettings(*map(Path, files.values()))
    assert plain.tls is None


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"DicomModalities": {"a": {**PACS, "UseDicomTls": 1}}}, "DicomModalities.a.UseDicomTls"),
        (
            {"DicomModalities": {"a": {**PACS, "UseDicomTls": True}}},
            "DicomModalities.a.UseDicomTls",
        ),
        ({"DicomTlsTrustedCertificates": "/nowhere"}, "DicomTlsTrustedCertificates"),
        ({"DicomTlsCertificate": __file__}, "DicomTlsPrivateKey"),
        ({"DicomTlsPrivateKey": 5}, "DicomTlsPrivateKey"),
    ],
)
def test_tls_refused(given: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"DicomModalities": {"a": PACS}, **given})
    assert refused.value.key == key


def test_modalities_that_are_kept_where_farsight_does_not_look() -> None:
    with pytest.raises(SettingsError, match=r"DicomModalitiesInDatabase is True"):
        read_settings({"DicomModalitiesInDatabase": True})
    both = read_settings({"DicomModalitiesInDatabase": True, "DicomModalities": {"a": PACS}})
    assert [pacs.name for pacs in both.pacs] == ["a"]


@pytest.mark.parametrize("port", ["²", "1²", "", "-1", "0x10"])
def test_ports_that_are_no_numbers(port: str) -> None:
    with pytest.raises(SettingsError, match=r"DicomModalities\.a\.Port"):
        read_settings({"DicomModalities": {"a": {**PACS, "Port": port}}})


def test_a_port_where_orthanc_does_not_listen_is_free() -> None:
    for server, port in (("Http", 8042), ("Dicom", 4242)):
        section = {"Farsight": {"Http": {"Port": port}}, f"{server}ServerEnabled": False}
        assert read_settings(section).http.port == port


@pytest.mark.parametrize("key", ["MaximumStorageSize", "MaximumPatientCount"])
@pytest.mark.parametrize(
    ("mode", "can_reject", "refused"),
    [("Recycle", True, True), ("Reject", True, False), ("Reject", False, True)],
)
def test_orthanc_must_not_delete_what_no_pacs_has(
    key: str, mode: str, can_reject: bool, refused: bool
) -> None:
    check_orthancs_own({key: 0}, StowSettings(), can_reject=can_reject)
    configuration = {key: 5, "MaximumStorageMode": mode}
    if not refused:
        check_orthancs_own(configuration, StowSettings(), can_reject=can_reject)
        return
    with pytest.raises(SettingsError, match=f"{key} is 5: .*Farsight.Cache.MaxMegabytes"):
        check_orthancs_own(configuration, StowSettings(), can_reject=can_reject)


@pytest.mark.parametrize(
    ("duplicates", "overwrite", "refused"),
    [
        ("replace", False, True), ("replace", "Never", True), ("replace", True, False),
        ("replace", "Always", False), ("keep", True, True), ("keep", False, False),
        ("reject", True, False),
    ],
)  # fmt: skip
def test_duplicates_and_orthancs_own_way_agree(
    duplicates: str, overwrite: object, refused: bool
) -> None:
    configuration, stow = {"OverwriteInstances": overwrite}, StowSettings(duplicates=duplicates)
    if not refused:
        check_orthancs_own(configuration, stow, can_reject=True)
        return
    with pytest.raises(SettingsError, match=r"Farsight\.Stow\.Duplicates .*OverwriteInstances"):
        check_orthancs_own(configuration, stow, can_reject=True)
