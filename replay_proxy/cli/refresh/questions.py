"""Which recorded requests are questions: ``refresh`` sends others only with ``--all``. Pure.

A question gets an answer and leaves nothing to clean up. This is an allow-list, since the requests
that are not questions, such as uploads, batches and administration, are too many to list.
"""

import re

#: Requests to a model, at OpenAI and at Azure.
_ASKS_MODEL = re.compile(
    r"(?:/v1|/v1/engines/[^/]+|/openai/v1|/openai/deployments/[^/]+)"
    r"/(?:chat/completions|completions|embeddings|moderations|responses(?:/input_tokens)?"
    r"|images/(?:generations|edits|variations)|audio/(?:speech|transcriptions|translations))"
)
#: Requests for the list of models, or for one. Names may contain slashes.
_ASKS_FOR_MODELS = re.compile(r"(?:/v1|/openai|/openai/v1)/models(?:/.+)?")


def is_question(method: str, path: str) -> bool:
    """Whether a request changes, deletes and reveals nothing of an account."""
    if method == "POST":
        return _ASKS_MODEL.fullmatch(path) is not None
    return method in ("GET", "HEAD") and _ASKS_FOR_MODELS.fullmatch(path) is not None
