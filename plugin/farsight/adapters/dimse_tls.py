"""TLS to a PACS (PS3.15 B.9): Orthanc's own certificates, the PACS verified always."""

from __future__ import annotations

import ssl
from pathlib import Path

from farsight.errors import SettingsError


def client_context(
    trusted_certificates: Path, certificate: Path | None, private_key: Path | None
) -> ssl.SSLContext:
    """For outgoing associations. Certificates count, not host names: PACS rarely have one in them.

    Raises: SettingsError naming the key whose file can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(trusted_certificates)
    except OSError as error:
        why = f"holds no usable certificate ({error.strerror or error})"
        key = "DicomTlsTrustedCertificates"
        raise SettingsError(key, str(trusted_certificates), why) from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, private_key)
        except OSError as error:
            why = f"can't be used with DicomTlsPrivateKey ({error.strerror or error})"
            raise SettingsError("DicomTlsCertificate", str(certificate), why) from error
    return context
