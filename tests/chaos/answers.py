"""What a service's answer says about each message that was sent: the same for one and for many."""

from typing import Any, Final

import httpx

AGAIN: Final = frozenset({429, 500, 502, 503, 504})
PROBLEM: Final = "application/problem+json"

Result = dict[str, Any]


def results(answer: httpx.Response, count: int) -> list[Result]:
    """Return, for each message, ``status`` and ``message``, or ``odd`` where it is neither a success nor a problem."""
    kind = answer.headers.get("content-type", "")
    try:
        body = answer.json()
    except ValueError:
        return _odd(answer.status_code, f"not JSON but {kind}", count)
    if not isinstance(body, dict):
        return _odd(answer.status_code, "no object", count)
    if answer.is_success and kind == "application/json":
        if "results" in body and len(body["results"]) == count:
            return [_result(each) for each in body["results"]]
        if ("id" in body or "complete" in body) and count == 1:
            return [{"status": answer.status_code, "message": body}]
    elif kind == PROBLEM and is_problem(body, answer.status_code):
        return [{"status": answer.status_code} for _ in range(count)]
    return _odd(answer.status_code, f"no such form is known: {kind}", count)


def is_problem(body: Any, status: int) -> bool:
    return isinstance(body, dict) and body.get("status") == status >= 400 and {"type", "title"} <= body.keys()


def _result(item: dict[str, Any]) -> Result:
    status = item.get("status", 0)
    if status in {200, 201} and "id" in item.get("message", ()):
        return {"status": status, "message": item["message"]}
    if status in {200, 201} and [each for each in item.get("messages", ()) if "id" in each]:
        return {"status": status, "message": item["messages"][0]}
    if is_problem(item.get("problem"), status):
        return {"status": status}
    return {"status": status, "odd": "an item of no known form"}


def _odd(status: int, why: str, count: int) -> list[Result]:
    return [{"status": status, "odd": why} for _ in range(count)]
