"""Who is asking: from the Authorization header to a principal.

A bearer token (RFC 6750) is either a JSON Web Token of a configured issuer, which speaks for a person, or one of our
own, which speaks for a service and begins with `vbt_`.
"""

from backend.auth.authenticator import Authenticator
from backend.auth.issuer import Issuer, private_url
from backend.auth.token import Verified

__all__ = ["Authenticator", "Issuer", "Verified", "private_url"]
