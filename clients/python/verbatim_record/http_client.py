"""HTTP clients for requests to the service.

By default httpx reads `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` from the environment, and uses such a proxy even for
loopback. A proxy that was set for other programs could then read tokens and what was said. So no client here reads the
environment (`trust_env=False`). The caller names a proxy, and it is not used for this machine.

`trust_env=False` would also ignore `SSL_CERT_FILE` and `SSL_CERT_DIR`, with which operators name their own certificate
authority. `tls_context` reads the two variables, and every client gets its TLS context from there.
"""

import os
import ssl
from ipaddress import ip_address
from typing import Any, Final

import httpx

from verbatim_record.setup_error import SetupError

# Without a bound on connections, since each stream holds one as long as it is followed. An idle connection is closed
# after 4 seconds, before the service closes it (5 seconds), because a request into a closed one is lost.
LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=4.0)


def http_client(
    url: str | httpx.URL, *, proxy: str | None = None, tls: ssl.SSLContext | None = None, **options: Any
) -> httpx.AsyncClient:
    """Return a client for requests to the host of ``url``, through ``proxy`` unless that host is this machine.

    ``tls`` is by default `tls_context`, whose SetupError is raised. ``options`` are those of `httpx.AsyncClient`.
    """
    tls = tls or tls_context()
    return httpx.AsyncClient(trust_env=False, verify=tls, proxy=_proxy(url, proxy, tls), **options)


def blocking_http_client(
    url: str | httpx.URL, *, proxy: str | None = None, tls: ssl.SSLContext | None = None, **options: Any
) -> httpx.Client:
    """Return the same as `http_client` for programs without an event loop; ``options`` are those of `httpx.Client`."""
    tls = tls or tls_context()
    return httpx.Client(trust_env=False, verify=tls, proxy=_proxy(url, proxy, tls), **options)


def _proxy(url: str | httpx.URL, proxy: str | None, tls: ssl.SSLContext) -> httpx.Proxy | None:
    if proxy is None or is_this_machine(httpx.URL(url).host):
        return None
    address = httpx.URL(proxy)
    return httpx.Proxy(address, ssl_context=tls if address.scheme == "https" else None)


def tls_context() -> ssl.SSLContext:
    """Return a TLS context with the certificate authorities of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else of certifi.

    Raises SetupError when the folder cannot be read, or the file is no PEM file with certificates.
    """
    # httpx's order: the file before the folder; an empty variable counts as not set.
    name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    try:
        if name == "SSL_CERT_DIR":
            os.scandir(os.environ[name]).close()  # raises for a missing folder, which OpenSSL treats as an empty one
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        wanted = "a folder" if name == "SSL_CERT_DIR" else "a file in PEM format"
        raise SetupError(f"{name or 'certifi'} must name {wanted} with certificates that can be read.") from error


def is_this_machine(host: str) -> bool:
    """Tell whether ``host`` is `localhost` or a loopback address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def service_url(url: str, name: str) -> httpx.URL:
    """Return ``url``, the address of a Verbatim service; otherwise raises SetupError, which calls it ``name``."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in {"http", "https"} or not address.host:
        raise SetupError(f"{name} must be the address of a Verbatim service, as http://127.0.0.1:8000.")
    return address
