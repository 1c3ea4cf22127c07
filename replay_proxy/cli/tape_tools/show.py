"""``replay-proxy show``: one interaction, for a person to read.

The request, the answer with its stream joined to text, and the time of each chunk.
"""

import json
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from replay_proxy.answers.parsed import answer
from replay_proxy.answers.transcript import Transcript, transcript
from replay_proxy.cassette import Interaction
from replay_proxy.cli import options, paths, terminal, wording
from replay_proxy.errors import ConfigurationError
from replay_proxy.matching.content_coding import content
from replay_proxy.redaction.answer_headers import stored_response_headers
from replay_proxy.redaction.display import redacted, without_secrets
from replay_proxy.redaction.storage import stored_request
from replay_proxy.store.archive import Archive
from replay_proxy.store.twin.lines import text_or_base64
from replay_proxy.wire import Headers

#: Numbers below this are numbers in ``ls``; an interaction's id has many more digits.
_LARGEST_NUMBER = 10**12
_LONGEST_NAME = 100
#: Maximum number of chunks that the text lists; the JSON has all of them.
SHOWN_CHUNKS = 40
_CHUNK = ("chunk", "after", "gap", "bytes")


def show(
    cassette: options.Name,
    interaction: Annotated[
        str, typer.Argument(help="Its id, its number in `ls`, or its fingerprint.")
    ],
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Show one interaction: the request, the answer as text, and the times of its chunks.

    Example: `replay-proxy show demo 3`
    """
    path = paths.existing_path(cassette, store)
    with Archive(path) as archive:
        number = _interaction_id(archive, interaction)
        take_id, recording = archive.in_take(number)
    reply = transcript(answer(recording.status, recording.headers, recording.body))
    document = {
        "version": wording.VERSION,
        "cassette": path.stem,
        "interaction": str(recording.id),
        "take": str(take_id),
        "fingerprint": recording.fingerprint,
        "recorded_at": wording.iso_time(recording.request.arrived_us),
        "request": {
            "method": recording.request.method,
            "path": recording.request.path,
            "query": stored_request(recording.request).query,
            "headers": _pairs(stored_request(recording.request).headers),
            **_body(recording.request.body),
        },
        "answer": {
            "status": recording.status,
            "headers": _pairs(stored_response_headers(recording.headers)),
            **_body(recording.body),
            **_transcript_document(reply),
        },
        "timeline": {
            "head_us": recording.timeline.head_us,
            "total_us": recording.timeline.total_us,
            "chunks": [
                {"at_us": offset_us, "bytes": len(chunk)}
                for offset_us, chunk in recording.timeline.chunks(recording.body)
            ],
        },
    }
    terminal.print_result(document, _text(recording, reply), as_json=as_json)


def _interaction_id(archive: Archive, name: str) -> int:
    """The id of an interaction, by any of its names. Raises ``ConfigurationError``."""
    number: int | None = None
    if not name.isascii() or len(name) > _LONGEST_NAME:
        pass  # Neither a number nor a fingerprint, and SQLite may not accept it.
    elif name.startswith("v1:"):
        number = archive.last_id_of(name)
    elif name.isdecimal() and 0 < int(name) < _LARGEST_NUMBER:
        number = archive.id_at(int(name) - 1)
    elif name.isdecimal() and int(name) < 2**63:
        number = int(name) if archive.holds(int(name)) else None
    if number is None:
        raise ConfigurationError(
            f"{archive.path} has no interaction {name}. Its ids and their numbers are listed by "
            f"`replay-proxy ls {archive.path.stem}`."
        )
    return number


def _pairs(headers: Headers) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]


def _body(body: bytes) -> dict[str, str | None]:
    """A body as text if it is UTF-8, or else in base64."""
    return {"body": None, "body_base64": None} | text_or_base64("body", body)


def _transcript_document(reply: Transcript) -> dict[str, Any]:
    usage = reply.usage
    return {
        "text": reply.text,
        "reasoning": reply.reasoning,
        "tool_calls": [
            {"name": call.name, "arguments": call.arguments} for call in reply.tool_calls
        ],
        "finish_reasons": list(reply.finish_reasons),
        "usage": usage
        and {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
        "error": reply.error,
        "streams": reply.streams,
        "ended": reply.ended,
    }


def _text(recording: Interaction, reply: Transcript) -> list[RenderableType]:
    request, timeline = stored_request(recording.request), recording.timeline
    target = f"{request.path}?{request.query}" if request.query else request.path
    lines = [
        f"interaction {recording.id}, recorded {wording.iso_time(request.arrived_us)}",
        recording.fingerprint,
        "",
        f"> {request.method} {target}",
        *(f"> {name}: {value}" for name, value in _pairs(request.headers)),
        "",
        _readable_body(content(request)),
        "",
        f"< {recording.status}",
        *(
            f"< {name}: {value}"
            for name, value in _pairs(stored_response_headers(recording.headers))
        ),
        "",
        *([f"(reasoning) {reply.reasoning}"] if reply.reasoning else []),
        *([reply.text] if reply.text else []),
        *(f"→ {call.name}({call.arguments})" for call in reply.tool_calls),
        *([] if reply.ended else ["(the answer has no end)"]),
        "",
        ", ".join(_facts(reply)),
        f"head after {_ms(timeline.head_us)}, whole after {_ms(timeline.total_us)}",
    ]
    chunks = list(timeline.chunks(recording.body))
    text = redacted("\n".join(lines))
    if len(chunks) < 2:
        return [text]
    table = terminal.Rows(*_CHUNK, numbers=_CHUNK)
    before_us = 0
    for number, (offset_us, chunk) in enumerate(chunks[:SHOWN_CHUNKS], start=1):
        table.add(str(number), _ms(offset_us), f"+{_ms(offset_us - before_us)}", str(len(chunk)))
        before_us = offset_us
    more = len(chunks) - SHOWN_CHUNKS
    return [text, table, *([f"… and {more:,} more chunks"] if more > 0 else [])]


def _facts(reply: Transcript) -> list[str]:
    usage = reply.usage
    return [
        "a stream" if reply.streams else "no stream",
        *reply.finish_reasons,
        *([f"{usage.total_tokens:,} tokens"] if usage and usage.total_tokens is not None else []),
    ]


def _readable_body(body: bytes) -> str:
    """A body for a person: JSON without credentials, another text, or the number of its bytes."""
    try:
        return json.dumps(without_secrets(json.loads(body)), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return f"({len(body):,} bytes)"


def _ms(us: int) -> str:
    return f"{us / 1000:,.1f} ms"
