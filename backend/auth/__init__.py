"""Authentication: the Authorization header of a request gives its principal.

A bearer token (RFC 6750) is either a JSON Web Token of a configured issuer, which authenticates a person, or a service
token, which this service issued to another service and which begins with `vbt_`.
"""

from backend.auth.authenticator import Authenticator
from backend.auth.issuer import Issuer, secure_url
from backend.auth.verified import Verified

__all__ = ["Authenticator", "Issuer", "Verified", "secure_url"]
