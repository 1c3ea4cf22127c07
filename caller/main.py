"""The application under test: it sends a question to an OpenAI endpoint through LangChain.

    uvicorn caller.main:app --port 8000

``GET /chat?query=`` answers with one JSON string, ``GET /streaming/chat?query=`` with one
server-sent event per chunk. ``OPENAI_BASE_URL``, ``OPENAI_MODEL`` and ``OPENAI_API_KEY`` are read
once, at start: they alone choose between the real API and a stand-in.

When the upstream fails, ``/chat`` answers ``{"error": {"status", "message"}}`` with that status:
the upstream's own if it is 4xx, 504 after a timeout, else 502. ``/streaming/chat`` has already
answered 200, even before the first chunk, and sends the same JSON as ``event: error``.
On both routes, the upstream call ends when the client leaves.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any

import anyio
import openai
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

TIMEOUT_S = 60.0  # The longest silence. LangChain waits forever by default.

Question = Annotated[str, Query(min_length=1)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Build what the requests share, and close it at shutdown."""
    key = os.environ.get("OPENAI_API_KEY") or "no-key-needed"
    async with openai.DefaultAsyncHttpxClient() as http_client:
        model = ChatOpenAI(
            base_url=os.environ.get("OPENAI_BASE_URL") or "http://localhost:7777/v1",
            model=os.environ.get("OPENAI_MODEL") or "gpt-4o-mini",
            api_key=SecretStr(key),
            http_async_client=http_client,
            max_retries=0,  # one question is one request: what is recorded is what was asked
            timeout=TIMEOUT_S,
            use_responses_api=False,  # /v1/chat/completions, whatever the model
        )
        prompt = ChatPromptTemplate.from_messages([("human", "{query}")])
        # The key, and what looks like a key, an organisation or a project.
        secrets = re.compile(rf"{re.escape(key)}|\b(?:sk|org|proj)[-_][\w*.-]+")
        yield {"chain": prompt | model | StrOutputParser(), "secrets": secrets}


app = FastAPI(title="caller", lifespan=lifespan)


@app.get("/chat", response_model=str)
async def chat(query: Question, request: Request) -> str | Response:
    """Answer at once, when the answer is complete."""
    try:
        async with while_connected(request):
            answer: str = await request.state.chain.ainvoke({"query": query})
            return answer
    except Exception as error:
        failed = failure(error, request.state.secrets)
        return JSONResponse({"error": failed}, failed["status"])
    raise HTTPException(499, "The client has left.")


async def open_stream(query: Question, request: Request) -> AsyncIterator[AsyncIterator[str]]:
    """Hold the upstream call open until the response is over, however it ends."""
    async with aclosing(request.state.chain.astream({"query": query})) as chunks:
        yield chunks


@app.get("/streaming/chat", response_class=StreamingResponse)
async def streaming_chat(
    chunks: Annotated[AsyncIterator[str], Depends(open_stream)], request: Request
) -> Response:
    """Answer chunk by chunk, as they arrive."""

    async def events() -> AsyncIterator[str]:
        try:
            async for chunk in chunks:
                if chunk:  # role, finish and usage come without text
                    yield sse(chunk)
        except Exception as error:
            failed = failure(error, request.state.secrets)
            yield "event: error\n" + sse(json.dumps({"error": failed}, ensure_ascii=False))

    return StreamingResponse(events(), media_type="text/event-stream")


def sse(data: str) -> str:
    r"""One server-sent event: a ``data:`` line for each line, be it ended by \r\n, \n or \r."""
    return "".join(f"data: {line}\n" for line in re.split(r"\r\n|\n|\r", data)) + "\n"


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel the body of ``with`` when the client leaves; Starlette does this only for streams."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        body.cancel()

    with anyio.CancelScope() as body:
        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()


def failure(error: Exception, secrets: re.Pattern[str]) -> dict[str, Any]:
    """Tell the status and the reason of a failed call, and nothing secret."""
    code = getattr(error, "status_code", 0)
    status = code if 400 <= code < 500 else 502
    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            message = "The upstream refuses the key: see OPENAI_API_KEY."
        case openai.APITimeoutError() | TimeoutError():
            status, message = 504, "The upstream was silent for too long."
        case openai.APIConnectionError():
            message = "The upstream is out of reach or broke off: see OPENAI_BASE_URL."
        case openai.APIError(body={"message": str(text)}):
            message = secrets.sub("[hidden]", text)
        case openai.APIStatusError():
            message = f"The upstream answered {code}."
        case _:
            logging.getLogger(__name__).exception("The upstream's answer makes no sense.")
            message = "The upstream's answer makes no sense: see the log."
    return {"status": status, "message": message}
