"""What the parameters of a PostgreSQL URL mean here: those of libpq that the driver does not know.

asyncpg reads the hosts, the credentials and all of TLS. It takes any other parameter for a setting of the server's,
which then refuses the connection. So `connect_timeout`, the keep-alives and the application's name are carried out
here; a parameter that has no effect on this driver is left out; and one that asks for a protection which the driver
does not have is refused, because a connection without it would not be the one that was asked for.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import URL

# Each with the option of a TCP socket that it sets, where the operating system has it, and the most that Linux takes.
# Times are in seconds, but `tcp_user_timeout` is in milliseconds.
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
# Without effect. The driver always speaks UTF-8, asks all hosts at once, encrypts by TLS alone, and does not bind the
# password's exchange to the TLS channel: `sslmode=verify-full` is what proves the server.
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
    """A URL as the driver understands it, and what is to be done for the rest of its parameters.

    ``connect_timeout`` is in seconds, None if the URL leaves it to us; ``tcp`` holds an option and a value for each
    parameter of the socket that the URL names.
    """

    url: URL
    connect_timeout: float | None
    application_name: str | None
    keepalives: bool
    tcp: tuple[tuple[int, int], ...]


def read(url: URL) -> Parameters:
    """Return what ``url`` asks for; raises ValueError, with a sentence that quotes no value, if that cannot be done."""
    given = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    if refused := sorted(_REFUSED & given.keys()):
        raise ValueError(f"the driver cannot do {', '.join(refused)}; leave that out of the URL")
    if given.get("gssencmode") == "require":
        raise ValueError("the driver cannot do gssencmode=require; encrypt with sslmode=verify-full instead")
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


def keep_alive(parameters: Parameters, connected: socket.socket) -> None:
    """Have the operating system ask, on a connection that rests, whether the server is still there."""
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
        if numbers.get(name, 0) > 0 and hasattr(socket, option):  # zero is the operating system's own choice
            yield getattr(socket, option), min(numbers[name], most)
