"""HTTP clients for requests that leave this process.

By default httpx reads `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` from the environment, and uses such a proxy even for
loopback. A proxy that was set for other programs could then read the Deepgram key and answer for an issuer's keys. So
no client here reads the environment (`trust_env=False`); a proxy is named explicitly, and is not used for this machine.

`trust_env=False` would also ignore `SSL_CERT_FILE` and `SSL_CERT_DIR`, with which operators name a certificate
authority of their own. `httpx.create_ssl_context` honours them, so every client gets its context.
"""

from ipaddress import ip_address
from typing import Any

import httpx
from pydantic import SecretStr


def http_client(url: str | httpx.URL, *, proxy: SecretStr | None = None, **options: Any) -> httpx.AsyncClient:
    """Return a client for requests to the host of ``url``, through ``proxy`` unless that host is this machine.

    ``options`` are those of `httpx.AsyncClient`.
    """
    tls = httpx.create_ssl_context()
    through = None
    if proxy is not None and not is_this_machine(httpx.URL(url).host):
        address = httpx.URL(proxy.get_secret_value())
        through = httpx.Proxy(address, ssl_context=tls if address.scheme == "https" else None)
    return httpx.AsyncClient(trust_env=False, verify=tls, proxy=through, **options)


def is_this_machine(host: str) -> bool:
    """Tell whether ``host`` is `localhost` or a loopback address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_url(proxy: SecretStr) -> SecretStr:
    """Return ``proxy`` if it is the address of an HTTP proxy; raises ValueError, without quoting it, otherwise."""
    try:
        parts = httpx.URL(proxy.get_secret_value())
    except httpx.InvalidURL:
        parts = httpx.URL()
    # A port of 0 or beyond 65535 is not refused by the parser.
    fits = parts.port is None or 0 < parts.port <= 65535  # noqa: PLR2004 -- RFC 9293
    if parts.scheme not in {"http", "https"} or not parts.host or parts.raw_path != b"/" or parts.fragment or not fits:
        raise ValueError("must be the address of an HTTP proxy, as http://user:password@proxy.example:3128")
    return proxy
