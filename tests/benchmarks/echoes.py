"""What serving a post costs at least: an application without a framework, and one of FastAPI. Both return the body.

uvicorn tests.benchmarks.echoes:raw
uvicorn tests.benchmarks.echoes:app
"""

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from tests.benchmarks.seed_service import MessageCreate

app = FastAPI(title="An echo")


@app.post("/voice/messages", status_code=201)
async def echo(message: MessageCreate) -> MessageCreate:
    return message


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    request = await receive()
    length = str(len(request["body"])).encode()
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": request["body"]})
