"""The settings of the orchestrator's endpoint, validated at start, so that no fault waits for the first delivery."""

import base64
import binascii
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import httpx
from pydantic import SecretStr

from backend.delivery.network import is_public
from backend.http_client import PORTS

_SECRET: Final = re.compile(r"whsec_([A-Za-z0-9+/]+={0,2})")
_SECRET_BYTES: Final = range(24, 65)  # https://github.com/standard-webhooks/standard-webhooks (signature scheme)


@dataclass(frozen=True, slots=True)
class OrchestratorEndpoint:
    """The orchestrator's URL, the secrets that sign deliveries, and the ``timeout`` of an attempt in seconds.

    ``private`` permits `http://` and private addresses.
    """

    url: str
    secrets: tuple[SecretStr, ...]
    timeout: float
    private: bool


def webhook_secret(secret: SecretStr) -> SecretStr:
    """Return ``secret`` if it has the form that Standard Webhooks defines; raises ValueError otherwise."""
    found = _SECRET.fullmatch(secret.get_secret_value())
    try:
        size = len(base64.b64decode(found[1] + "==")) if found else 0
    except binascii.Error:
        size = 0
    if size not in _SECRET_BYTES:
        raise ValueError("each must be whsec_ followed by 24 to 64 random bytes in base64")
    return secret


def endpoint_url(url: str, *, private: bool) -> str:
    """Return ``url`` if deliveries may be sent there; raises ValueError otherwise."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in ({"https", "http"} if private else {"https"}) or not parts.host:
        raise ValueError("must be an https:// address; http:// only with VERBATIM_ORCHESTRATOR_PRIVATE")
    if parts.userinfo or parts.fragment or not (parts.port is None or parts.port in PORTS):
        raise ValueError("must be an address without user, password and fragment")
    if not private and not _may_be_public(parts.host):
        raise ValueError("must not be a private address, unless VERBATIM_ORCHESTRATOR_PRIVATE is set")
    return url


def _may_be_public(host: str) -> bool:
    try:
        return is_public(ip_address(host))
    except ValueError:
        return True  # a host name: the addresses that it resolves to are checked at each connection
