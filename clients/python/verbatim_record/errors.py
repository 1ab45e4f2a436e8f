"""The errors that a call may raise.

    VerbatimError
    ├── Problem                    the service refused the request; `problems` has a class for each kind
    ├── NotModified                the version that `if_none_match` names is still current
    ├── UnexpectedResponse         the answer is not one of the service: a proxy or another program sent it
    ├── TransportError             no answer came, or only a part of it
    └── WebhookVerificationError   a delivery is not the service's, or too old

No message of an error quotes what a person said.
"""

from typing import Final

from verbatim_record.models import InputFault, ProblemDocument, VoiceSessionResponse

_PREFIX: Final = "/problems/"


class VerbatimError(Exception):
    """The base of all errors of this package."""


class Problem(VerbatimError):
    """The service refused a request, with a problem document (RFC 9457).

    The class is one of `verbatim_record.problems`, or this one for a kind that this release does not know.
    ``document`` has all its members. ``retry_after`` is the time in seconds that the service asks the client to wait,
    None if it asks for none. ``etag`` is the current version of the resource after a failed ``if_match``.
    """

    def __init__(self, document: ProblemDocument, retry_after: float | None = None, etag: str | None = None) -> None:
        super().__init__(document, retry_after, etag)
        self.document = document
        self.retry_after = retry_after
        self.etag = etag

    def __str__(self) -> str:
        """Return the service's sentence, with what finds the request in its log."""
        return f"{self.document.detail} ({self.slug}, status {self.status}, request {self.request_id})"

    @property
    def slug(self) -> str:
        """The kind of problem, as `conversation-not-found`."""
        return self.document.type.removeprefix(_PREFIX)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.document.status

    @property
    def detail(self) -> str:
        """What is wrong, as a sentence."""
        return self.document.detail

    @property
    def request_id(self) -> str:
        """The id under which the service's log has the request."""
        return self.document.request_id

    @property
    def errors(self) -> tuple[InputFault, ...]:
        """A JSON pointer and a sentence for each fault of the request, at most 20."""
        return self.document.errors or ()

    @property
    def session(self) -> VoiceSessionResponse | None:
        """The voice session, if the request has begun it although Deepgram issued no token."""
        return self.document.session


class NotModified(VerbatimError):
    """The version that ``if_none_match`` names is still the current one."""


class UnexpectedResponse(VerbatimError):
    """The answer is not one of the service: a proxy in between or another program sent it.

    ``status`` is its HTTP status, and ``retry_after`` the time in seconds that it asks the client to wait, if it does.
    """

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(status, retry_after)
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Return what to look for."""
        return (
            f"The answer (status {self.status}) is not one of Verbatim: check the address, and the proxies before it."
        )


class TransportError(VerbatimError):
    """No answer came, or only a part of it; the cause is an error of httpx.

    ``sent`` tells whether the service may have received the request. Then it is unknown whether it was carried out.
    """

    def __init__(self, why: str, *, sent: bool = True) -> None:
        super().__init__(why)
        self.sent = sent


class WebhookVerificationError(VerbatimError):
    """The request is no delivery of the service that knows the secret, or its time is too far from now: answer 401."""
