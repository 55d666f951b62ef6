"""Warning headers (PS3.18 8.3.4, RFC 7234 5.5)."""

from __future__ import annotations

from farsight.ps318.warning import remaining_results, warning_value


def test_form() -> None:
    value = warning_value("http://host:8043/dicom-web", remaining_results(7))
    assert value == (
        '299 http://host:8043/dicom-web: "There are 7 additional results that can be requested"'
    )


def test_nothing_breaks_out_of_the_header() -> None:
    value = warning_value("http://h\r\nX: y", 'PACS "a"\r\nSet-Cookie: x\\ ü')
    assert value == '299 http://h??X:?y: "PACS \\"a\\"??Set-Cookie: x\\\\ ?"'
