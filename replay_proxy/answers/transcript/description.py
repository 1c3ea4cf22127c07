"""An answer without text, described: ``3 vectors of 1,536``, ``12,345 bytes of audio/mpeg``. Pure.

Part of ``transcript``.
"""

import json
from collections import Counter
from typing import Any

from replay_proxy.answers.parsed import Answer
from replay_proxy.answers.plural import many
from replay_proxy.answers.transcript.utterance import dicts, objects

#: A vector in base64 is of 32-bit floats.
_FLOAT_BYTES = 4


def description(answer: Answer) -> str:
    """An answer in a few words, or its own text if it is a text; empty without a body."""
    value, body = answer.value, answer.body
    if isinstance(value, dict):
        summary = _vectors(value) or _images(value) or _verdicts(value) or _names(value)
        if summary:
            return summary
    if value is not None and answer.steps is None:
        return json.dumps(value, ensure_ascii=False)
    if not body:
        return ""
    kind = answer.media_type or "an unknown type"
    if answer.steps is not None:
        return f"{many(len(answer.steps), 'event')} of {kind}"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return f"{many(len(body), 'byte')} of {kind}"
    return f"{many(len(body), 'byte')} of {kind}" if "\0" in text else text


def _vectors(value: dict[str, Any]) -> str:
    sizes = Counter(
        _vector_size(item["embedding"]) for item in objects(value) if "embedding" in item
    )
    return ", ".join(f"{many(number, 'vector')} of {size:,}" for size, number in sizes.items())


def _vector_size(vector: Any) -> int:
    if isinstance(vector, str):
        return _decoded_size(vector) // _FLOAT_BYTES
    return len(vector) if isinstance(vector, list) else 0


def _decoded_size(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4


def _images(value: dict[str, Any]) -> str:
    """Images, one per line, each with its revised prompt."""
    return "\n".join(
        text
        for image in (dicts(value.get("data")) or [value])
        if (text := _image(image, value.get("output_format")))
    )


def _image(image: dict[str, Any], format_: Any) -> str:
    if isinstance(image.get("b64_json"), str):
        size = many(_decoded_size(image["b64_json"]), "byte")
        text = f"{size} of image" + (f"/{format_}" if isinstance(format_, str) else "")
    elif isinstance(image.get("url"), str):
        # The query is a signature, which has expired by now.
        text = image["url"].partition("?")[0]
    else:
        return ""
    prompt = image.get("revised_prompt")
    return f"{text}: {prompt}" if prompt and isinstance(prompt, str) else text


def _verdicts(value: dict[str, Any]) -> str:
    """The result of a moderation, one line per input."""
    return "\n".join(
        "flagged: " + ", ".join(_flags(result)) if result["flagged"] else "not flagged"
        for result in dicts(value.get("results"))
        if "flagged" in result
    )


def _flags(result: dict[str, Any]) -> list[str]:
    categories = result.get("categories")
    return (
        [name for name, flag in categories.items() if flag] if isinstance(categories, dict) else []
    )


def _names(value: dict[str, Any]) -> str:
    """The kinds of objects, such as ``85 × model``; a single one with its status."""
    name = value.get("object")
    if not isinstance(name, str) or not name:
        return ""
    if name == "list":
        kinds = Counter(str(item.get("object", "object")) for item in objects(value))
        counts = (f"{number:,} × {kind}" for kind, number in kinds.items())
        return ", ".join(counts) or "an empty list"
    status = value.get("status")
    return f"{name}, {status}" if isinstance(status, str) else name
