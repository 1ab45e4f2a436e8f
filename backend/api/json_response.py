"""A response of JSON that is bytes already, for the hot routes."""

from starlette.responses import Response


class JsonResponse(Response):
    """Responds with the JSON ``body``; ``headers`` are bytes, with names in lower case.

    Starlette encodes the headers of a response one by one, which takes longer than all the rest of it (measured).
    """

    def __init__(self, body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json"), *headers]
