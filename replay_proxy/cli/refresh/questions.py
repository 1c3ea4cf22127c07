"""Which recorded requests are questions: those that ``refresh`` sends without being told to. Pure.

A question gets an answer and leaves nothing behind that has to be cleaned up. The list names what
is one, since what is not, such as an upload, a batch or an administrator's request, has no end.
"""

import re

#: What asks a model, at OpenAI and at Azure.
_ASKS_MODEL = re.compile(
    r"(?:/v1|/v1/engines/[^/]+|/openai/v1|/openai/deployments/[^/]+)"
    r"/(?:chat/completions|completions|embeddings|moderations|responses(?:/input_tokens)?"
    r"|images/(?:generations|edits|variations)|audio/(?:speech|transcriptions|translations))"
)
#: Which models there are; their names may have slashes.
_ASKS_FOR_MODELS = re.compile(r"(?:/v1|/openai|/openai/v1)/models(?:/.+)?")


def is_question(method: str, path: str) -> bool:
    """Whether a request changes nothing, deletes nothing and tells nothing of an account."""
    if method == "POST":
        return _ASKS_MODEL.fullmatch(path) is not None
    return method in ("GET", "HEAD") and _ASKS_FOR_MODELS.fullmatch(path) is not None
