"""HTTP clients for requests of the service to other servers: issuers, Deepgram, the orchestrator.

By default httpx reads `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` from the environment, and uses such a proxy even for
loopback. A proxy that an operator set for other programs could then read the Deepgram key, or forge an issuer's keys.
So no client here reads the environment (`trust_env=False`). The operator names a proxy in the settings, and it is not
used for this machine.

`trust_env=False` would also ignore `SSL_CERT_FILE` and `SSL_CERT_DIR`, with which operators name their own certificate
authority. `tls_context` reads the two variables, and every client gets its TLS context from there.
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

    ``options`` are those of `httpx.AsyncClient`. Raises SettingsError as `tls_context` does.
    """
    tls = tls_context()
    through = None
    if proxy is not None and not is_this_machine(httpx.URL(url).host):
        address = httpx.URL(proxy.get_secret_value())
        through = httpx.Proxy(address, ssl_context=tls if address.scheme == "https" else None)
    return httpx.AsyncClient(trust_env=False, verify=tls, proxy=through, **options)


def tls_context() -> ssl.SSLContext:
    """Return a TLS context with the certificate authorities of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else of certifi.

    Raises SettingsError when the folder cannot be read, or the file is no PEM file with certificates.
    """
    # httpx's order: the file before the folder; an empty variable counts as not set.
    name = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    try:
        if name == "SSL_CERT_DIR":
            os.scandir(os.environ[name]).close()  # raises for a missing folder, which OpenSSL treats as an empty one
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
    """Return ``proxy`` if it is the URL of an HTTP proxy.

    Raises ValueError otherwise, without quoting the URL, which may contain a password.
    """
    try:
        parts = httpx.URL(proxy.get_secret_value())
    except httpx.InvalidURL:
        parts = httpx.URL()
    # The parser accepts a port of 0 or above 65535.
    fits = parts.port is None or parts.port in PORTS
    if parts.scheme not in {"http", "https"} or not parts.host or parts.raw_path != b"/" or parts.fragment or not fits:
        raise ValueError("must be the URL of an HTTP proxy, such as http://user:password@proxy.example:3128")
    return proxy
