"""When a call is tried again, and after how long: the four rules for senders of docs/guarantees.md.

A time-out, a cut connection, 408, 429 or a 5xx leave the outcome unknown, or say that nothing was done. The same bytes
with the same ids are then sent again, because the service recognises a repetition. 401 is tried once more with a new
token. Any other refusal is final. An operation whose repetition the service would not recognise is repeated only if the
service certainly has not carried it out.
"""

import random
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from verbatim_record.errors import Problem, TransportError, UnexpectedResponse, VerbatimError

# A problem with 502 is Deepgram's refusal, which only an operator can change.
_REPEATED: Final = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_AS_SLOW_AGAIN: Final = "search-too-slow"
_NOTHING_DONE: Final = {"busy", "issuer-unavailable", "too-many-requests"}


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long a call is tried.

    There are at most ``attempts``, the first one included, and the last begins at most ``within`` seconds after the
    first. Before each but the first the client waits for the Retry-After that it was given and, in addition, for a
    random time (full jitter) between 0 and ``backoff`` seconds, doubled with each attempt up to ``longest`` seconds.
    """

    attempts: int = 6
    within: float = 60.0
    backoff: float = 0.5
    longest: float = 30.0


DEFAULT_RETRIES: Final = Retries()


class Attempts:
    """The attempts of one call.

    ``repeatable`` tells whether the service recognises a repetition, ``renewable`` whether a new token can be had.
    """

    def __init__(self, retries: Retries, *, repeatable: bool = True, renewable: bool = False) -> None:
        self._retries = retries
        self._repeatable = repeatable
        self._renewable = renewable
        self._failed = 0
        self._deadline = time.monotonic() + retries.within

    def pause(self, error: VerbatimError, *, endless: bool = False) -> float:
        """Return the seconds to wait before the next attempt; raises ``error`` if there is none.

        ``endless`` lifts the limits of number and time.
        """
        if self._renewable and getattr(error, "status", None) == HTTPStatus.UNAUTHORIZED:
            self._renewable = False
            return 0.0
        if not self._may_repeat(error):
            raise error
        self._failed += 1
        pause = (getattr(error, "retry_after", None) or 0.0) + self._jitter()
        if not endless and (self._failed >= self._retries.attempts or time.monotonic() + pause > self._deadline):
            raise error
        return pause

    def _jitter(self) -> float:
        # 2 ** 1024 is no float.
        doubled = self._retries.backoff * 2.0 ** min(self._failed - 1, 32)
        return random.uniform(0, min(doubled, self._retries.longest))  # noqa: S311 -- no secret

    def _may_repeat(self, error: VerbatimError) -> bool:
        match error:
            case TransportError():
                return self._repeatable or not error.sent
            case Problem():
                begun = error.session is not None  # it works without a token for Deepgram, so the caller decides
                final = begun or error.slug == _AS_SLOW_AGAIN or error.status not in _REPEATED
                return not final and (self._repeatable or error.slug in _NOTHING_DONE)
            case UnexpectedResponse():
                passing = error.status in _REPEATED or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
                return passing and self._repeatable
        return False
