"""Our service where every request needs a token, and a token for it."""

import json
import os
from datetime import timedelta
from typing import Final

from backend import cli
from backend.auth import Issuer
from backend.auth.development import mint
from backend.principal import PERSONAL

_ISSUER: Final = {
    "issuer": "https://id.example",
    "audience": "verbatim",
    "algorithms": ["HS256"],
    "secret": "thirty-two bytes, or some more of them",
}


def token(subject: str) -> str:
    """Return a token of ``subject``'s, good for longer than anything is measured."""
    return mint(Issuer.model_validate(_ISSUER), subject, sorted(PERSONAL), timedelta(hours=6))


if __name__ == "__main__":
    os.environ["VERBATIM_AUTH_ISSUERS"] = json.dumps([_ISSUER])
    cli.main()
