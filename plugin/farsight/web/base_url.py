"""What our URLs begin with: the scheme and host by which the client reached us.

Absolute BulkDataURIs are made of it, so nothing a stranger can set may poison it: the Host
header has to look like a host, and X-Forwarded-* counts only from proxies we were told of.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST = re.compile(r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?\Z")

_PROXY_HEADERS = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)


_DEFAULT_PORTS = {"http": 80, "https": 443}


def _with_port(host: str, port: int | None, scheme: str) -> str:
    return host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """What one door's URLs begin with.

    fallback: used where the request names no usable host; its scheme is the door's own.
    public_url: overrules everything.
    """

    fallback: str
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()

    def of(
        self, headers: Mapping[str, str], client_address: str, own_port: int | None = None
    ) -> str:
        """Without a trailing slash. `headers`: names in lower case.

        `own_port`: where the request came in, by default the fallback's. Some clients leave it
        out of Host; it is put there again unless a proxy stands between, which has its own.
        """
        if self.public_url:
            return self.public_url
        own = urlsplit(self.fallback)
        scheme, host = own.scheme, headers.get("host", "")
        if self._is_trusted(client_address):
            scheme = headers.get("x-forwarded-proto", scheme).split(",")[0].strip().lower()
            host = headers.get("x-forwarded-host", host).split(",")[0].strip()
        if scheme not in ("http", "https") or not _HOST.match(host):
            return self.fallback
        if ":" not in host.rpartition("]")[2] and not _PROXY_HEADERS & headers.keys():
            host = _with_port(host, own_port or own.port, scheme)
        return f"{scheme}://{host}"

    def _is_trusted(self, client_address: str) -> bool:
        if not self.trusted_proxies:
            return False
        try:
            client = ipaddress.ip_address(client_address)
        except ValueError:
            return False
        return any(client in ipaddress.ip_network(proxy) for proxy in self.trusted_proxies)
