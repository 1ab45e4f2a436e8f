"""HTTP clients for requests that leave this process.

By default httpx reads `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` from the environment, and uses such a proxy even for
loopback. A proxy that was set for other programs could then read the Deepgram key and answer for an issuer's keys. So
no client here reads the environment (`trust_env=False`); a proxy is named explicitly, and is not used for this machine.

`trust_env=False` would also ignore `SSL_CERT_FILE` and `SSL_CERT_DIR`, with which operators name a certificate
authority of their own. `tls_context` honours them, so every client gets its context from there.
"""

import os
import ssl
from ipaddress import ip_address
from typing import Any, Final

import httpx
from pydantic import SecretStr

from backend.errors import SettingsError, SetupError

PORTS: Final = range(1, 65536)  # of TCP (RFC 9293)


def http_client(url: str | httpx.URL, *, proxy: SecretStr | None = None, **options: Any) -> httpx.AsyncClient:
    """Return a client for requests to the host of ``url``, through ``proxy`` unless that host is this machine.

    ``options`` are those of `httpx.AsyncClient`. Raises SettingsError as `tls_context`.
    """
    tls = tls_context()
    through = None
    if proxy is not None and not is_this_machine(httpx.URL(url).host):
        address = httpx.URL(proxy.get_secret_value())
        through = httpx.Proxy(address, ssl_context=tls if address.scheme == "https" else None)
    return httpx.AsyncClient(trust_env=False, verify=tls, proxy=through, **options)


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts the authorities of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else those of certifi.

    Raises SettingsError when the variable names no certificates that can be read.
    """
    # As httpx chooses: the file before the folder, and an empty variable is none.
    name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    try:
        if name == "SSL_CERT_DIR":
            os.scandir(os.environ[name]).close()  # OpenSSL takes a missing folder for an empty one
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        wanted = "a folder" if name == "SSL_CERT_DIR" else "a file in PEM format"
        raise SettingsError(f"{name or 'certifi'} must name {wanted} with certificates that can be read.") from error


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


def proxy_url(proxy: SecretStr) -> SecretStr:
    """Return ``proxy`` if it is the address of an HTTP proxy; raises ValueError, without quoting it, otherwise."""
    try:
        parts = httpx.URL(proxy.get_secret_value())
    except httpx.InvalidURL:
        parts = httpx.URL()
    # A port of 0 or beyond 65535 is not refused by the parser.
    fits = parts.port is None or parts.port in PORTS
    if parts.scheme not in {"http", "https"} or not parts.host or parts.raw_path != b"/" or parts.fragment or not fits:
        raise ValueError("must be the address of an HTTP proxy, as http://user:password@proxy.example:3128")
    return proxy
