"""The variables that Kubernetes derives from a Service, and that look like settings."""

import re
from collections.abc import Mapping
from typing import Final

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE: Final = re.compile(
    r"VERBATIM_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_URLS: Final = ("tcp://", "udp://", "sctp://")


def service_variables(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the `VERBATIM_` variables that Kubernetes derives from a Service, which are no settings.

    Kubernetes sets such variables in every container for each Service of its namespace, unless `enableServiceLinks` is
    false: for a Service `verbatim` `VERBATIM_SERVICE_HOST`, `VERBATIM_PORT=tcp://10.0.0.1:8000` and
    `VERBATIM_PORT_8000_TCP`; for a Service `verbatim-db` `VERBATIM_DB_SERVICE_HOST` and so on.
    """
    return frozenset(name for name, value in environment.items() if _is_of_service(name, value))


def _is_of_service(name: str, value: str) -> bool:
    is_url = name.startswith("VERBATIM_") and name.endswith("_PORT") and value.startswith(_SERVICE_URLS)
    return is_url or _SERVICE.fullmatch(name) is not None
