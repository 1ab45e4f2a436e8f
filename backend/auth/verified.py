"""What the check of a token gives."""

from typing import NamedTuple

from backend.principal import Principal


class Verified(NamedTuple):
    """The principal of a valid token, and until when the token needs no other check, in seconds since 1970."""

    principal: Principal
    until: float
