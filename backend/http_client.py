"""HTTP clients for requests of the service to other servers: issuers, Deepgram, the orchestrator.

They are made as `verbatim_record.http_client` says, so no variable of the environment names a proxy. The operator names
one in the settings.
"""

import ssl
from typing import Any, Final

import httpx
from pydantic import SecretStr

from backend.errors import SettingsError
from verbatim_record import http_client as clients
from verbatim_record.setup_error import SetupError

PORTS: Final = range(1, 65536)  # of TCP (RFC 9293)


def http_client(url: str | httpx.URL, *, proxy: SecretStr | None = None, **options: Any) -> httpx.AsyncClient:
    """Return a client for requests to the host of ``url``, through ``proxy`` unless that host is this machine.

    ``options`` are those of `httpx.AsyncClient`. Raises SettingsError as `tls_context` does.
    """
    return clients.http_client(url, proxy=secret(proxy), tls=tls_context(), **options)


def tls_context() -> ssl.SSLContext:
    """Return a TLS context with the certificate authorities of `SSL_CERT_FILE` or `SSL_CERT_DIR`, else of certifi.

    Raises SettingsError when the folder cannot be read, or the file is no PEM file with certificates.
    """
    try:
        return clients.tls_context()
    except SetupError as error:
        raise SettingsError(str(error)) from error


def secret(value: SecretStr | None) -> str | None:
    """Return the text of a secret setting, or None if it is not set."""
    return None if value is None else value.get_secret_value()


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
