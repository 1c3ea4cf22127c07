"""The dummy server of the blog post, which ``benchmarks.streams`` compares with the dummy.

    uvicorn benchmarks.blog_server:app --port 8001

A synchronous generator sleeps and yields one chunk per character. Starlette runs it in a pool of
40 threads, so that 1,000 streams wait for one another.
"""

import os
import time
import uuid
from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

#: The gap between chunks: 50 ms in the blog; ``benchmarks.ratios`` sets 0.
GAP_S = float(os.environ.get("GAP_S", "0.05"))

app = FastAPI()


class Message(BaseModel):
    role: str
    content: str


class ChatRequest(BaseModel):
    model: str
    messages: list[Message]
    stream: bool = False


class Delta(BaseModel):
    role: str | None = None
    content: str | None = None


class Choice(BaseModel):
    index: int = 0
    delta: Delta
    finish_reason: str | None = None


class Chunk(BaseModel):
    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[Choice]


def chunks(request: ChatRequest) -> Iterator[str]:
    """The answer, one character per chunk."""
    answer_id, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

    def event(choice: Choice) -> str:
        chunk = Chunk(id=answer_id, created=created, model=request.model, choices=[choice])
        return f"data: {chunk.model_dump_json()}\n\n"

    for character in f"{request.messages[0].content}의 응답 내용":
        time.sleep(GAP_S)
        yield event(Choice(delta=Delta(content=character)))
    yield event(Choice(delta=Delta(), finish_reason="stop"))
    yield "data: [DONE]\n\n"


@app.post("/v1/chat/completions")
def chat(request: ChatRequest) -> StreamingResponse:
    return StreamingResponse(chunks(request), media_type="text/event-stream")
