"""The libpq parameters of a PostgreSQL URL that asyncpg does not know.

asyncpg reads the hosts, the credentials and all TLS parameters. It sends any other parameter to the server as a
setting, and the server then refuses the connection. So this module applies `connect_timeout`, the TCP keep-alives and
`application_name` itself. It drops a parameter that has no effect on asyncpg. It refuses a parameter that asks for a
protection which asyncpg lacks, because the connection would silently be weaker than the operator asked for.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import URL

# The TCP socket option that each parameter sets, where the operating system has it, and Linux's largest value for it.
# Times are in seconds, except `tcp_user_timeout`, which is in milliseconds.
_TCP: Final[Mapping[str, tuple[str, int]]] = {
    "keepalives_idle": ("TCP_KEEPIDLE", 32767),
    "keepalives_interval": ("TCP_KEEPINTVL", 32767),
    "keepalives_count": ("TCP_KEEPCNT", 127),
    "tcp_user_timeout": ("TCP_USER_TIMEOUT", 2**31 - 1),
}
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "sslmode": frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}),
    "sslnegotiation": frozenset({"postgres", "direct"}),
    "target_session_attrs": frozenset({"any", "primary", "standby", "read-write", "read-only", "prefer-standby"}),
}
_NUMBERS: Final = {"connect_timeout", "keepalives", *_TCP}
# asyncpg always uses UTF-8, connects to all hosts at once, encrypts by TLS alone, and does not bind the password
# exchange to the TLS channel: `sslmode=verify-full` authenticates the server.
_WITHOUT_EFFECT: Final = {
    "channel_binding",
    "client_encoding",
    "gssdelegation",
    "gssencmode",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslkeylogfile",
    "sslsni",
}
_NAMES: Final = {"application_name", "fallback_application_name"}
_REFUSED: Final = {
    "hostaddr",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "replication",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "sslcrldir",
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """A URL as asyncpg understands it, and the parameters that this module applies.

    ``connect_timeout`` is in seconds, None if the URL has none; ``tcp`` holds a socket option and its value for each
    keep-alive parameter of the URL.
    """

    url: URL
    connect_timeout: float | None
    application_name: str | None
    keepalives: bool
    tcp: tuple[tuple[int, int], ...]


def read_parameters(url: URL) -> Parameters:
    """Return the parameters of ``url``.

    Raises ValueError, with a sentence that quotes no value of the URL, for a parameter that asyncpg cannot honour.
    """
    given = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    if refused := sorted(_REFUSED & given.keys()):
        raise ValueError(f"asyncpg does not support {', '.join(refused)}; remove it from the URL")
    if given.get("gssencmode") == "require":
        raise ValueError("asyncpg does not support gssencmode=require; encrypt with sslmode=verify-full instead")
    for name, words in _WORDS.items():
        if name in given and given[name] not in words:
            raise ValueError(f"{name} must be one of {', '.join(sorted(words))}")
    numbers = {name: _number(name, given[name]) for name in sorted(_NUMBERS & given.keys())}
    timeout = numbers.get("connect_timeout", 0)
    return Parameters(
        url=url.difference_update_query(_NUMBERS | _WITHOUT_EFFECT | _NAMES),
        connect_timeout=float(timeout) if timeout > 0 else None,
        application_name=given.get("application_name") or given.get("fallback_application_name") or None,
        keepalives=numbers.get("keepalives", 1) != 0,
        tcp=tuple(_options(numbers)),
    )


def set_keep_alive(parameters: Parameters, connected: socket.socket) -> None:
    """Set the TCP keep-alive options of ``connected``, so that the kernel detects a dead server on an idle connection.

    Raises OSError for a value that the kernel refuses; does nothing for a Unix socket.
    """
    if connected.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(parameters.keepalives))
    for option, value in parameters.tcp:
        connected.setsockopt(socket.IPPROTO_TCP, option, value)


def _number(name: str, value: str) -> int:
    if not value.lstrip("-").isdecimal():
        raise ValueError(f"{name} must be a whole number")
    return int(value)


def _options(numbers: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for name, (option, most) in _TCP.items():
        if numbers.get(name, 0) > 0 and hasattr(socket, option):  # zero means the operating system's default
            yield getattr(socket, option), min(numbers[name], most)
