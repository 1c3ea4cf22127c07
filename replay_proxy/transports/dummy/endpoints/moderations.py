"""``POST /v1/moderations``: verdicts on inputs.

In here: the verdicts and the JSON around them. Not in here: any judgement. Nothing is ever
flagged: the inputs are test data.
"""

from hashlib import sha256

import orjson

from replay_proxy.errors import InvalidRequest
from replay_proxy.transports.dummy.endpoints.validation import missing_parameter, typed_body
from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.replies import JSON, WholeReply
from replay_proxy.transports.dummy.schemas import CreateModerationRequest

#: Steps that a verdict costs.
_STEPS = 25
#: Each category, and whether it applies to images too.
_CATEGORIES = {
    "harassment": False,
    "harassment/threatening": False,
    "sexual": True,
    "hate": False,
    "hate/threatening": False,
    "illicit": False,
    "illicit/violent": False,
    "self-harm/intent": True,
    "self-harm/instructions": True,
    "self-harm": True,
    "sexual/minors": False,
    "violence": True,
    "violence/graphic": True,
}


def create_moderation(question: Question) -> WholeReply:
    """Judge an input, or each of several. Raises ``InvalidRequest``."""
    body = typed_body(CreateModerationRequest, question.fields)
    inputs = _inputs(body.input)
    question.budget.part = "input"
    question.budget.step(_STEPS * len(inputs))
    rendered = orjson.dumps(
        {
            "id": question.new_id("modr-"),
            "model": body.model or "omni-moderation-latest",
            "results": [_result(text, has_image) for text, has_image in inputs],
        }
    )
    return WholeReply(JSON, rendered)


def _inputs(value: object) -> list[tuple[str, bool]]:
    """The text of each input, and whether it has an image. An array of parts is one input."""
    match value:
        case str():
            return [(value, False)]
        case [str(), *_] if all(isinstance(item, str) for item in value):
            return [(str(item), False) for item in value]
        case [{"type": _}, *_]:
            texts = [_part(item, at) for at, item in enumerate(value)]
            return [("".join(filter(None, texts)), None in texts)]
        case _:
            raise InvalidRequest(
                "Invalid type for 'input': expected a string, an array of strings, or an array of "
                "objects of type 'text' or 'image_url'.",
                param="input",
                code="invalid_type",
            )


def _part(item: object, at: int) -> str | None:
    """The text of a part; None for an image."""
    match item:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image_url", "image_url": {"url": str()}}:
            return None
        case {"type": "text" | "image_url" as kind}:
            raise missing_parameter(f"input[{at}].{kind}")
        case _:
            raise InvalidRequest(
                f"Invalid value for 'input[{at}].type': "
                "Supported values are: 'text' and 'image_url'.",
                param=f"input[{at}].type",
                code="invalid_value",
            )


def _result(text: str, has_image: bool) -> dict[str, object]:
    digest = sha256(text.encode()).digest()
    applied = {
        category: ["text", "image"] if has_image and images else ["text"]
        for category, images in _CATEGORIES.items()
    }
    return {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        # Small, as for harmless texts, and equal for equal texts.
        "category_scores": {
            category: (1 + byte) * 1e-6 for category, byte in zip(_CATEGORIES, digest, strict=False)
        },
        "category_applied_input_types": applied,
    }
