"""``POST /v1/embeddings``: texts as vectors.

In here: the vectors and the JSON around them. Not in here: reading the inputs (``batches``).

Equal texts have equal vectors, with every worker and seed. Different texts have unrelated vectors,
whatever they mean. A vector with fewer dimensions is the beginning of the longer one, scaled to
length 1, as OpenAI's are (https://platform.openai.com/docs/guides/embeddings).
"""

import math
import sys
from array import array
from base64 import b64encode
from hashlib import shake_256

import orjson

from replay_proxy.transports.dummy.endpoints.batches import batch
from replay_proxy.transports.dummy.endpoints.validation import typed_body
from replay_proxy.transports.dummy.question import Question
from replay_proxy.transports.dummy.replies import JSON, WholeReply
from replay_proxy.transports.dummy.schemas import CreateEmbeddingRequest

_DIMENSIONS = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS = 1536
#: Dimensions drawn in one step. 2,048 texts of 3,072 dimensions, the most that the API accepts at
#: once, are within a budget.
_PER_STEP = 8


def create_embedding(question: Question) -> WholeReply:
    """Embed an input, or a batch of them. Raises ``InvalidRequest``."""
    body = typed_body(CreateEmbeddingRequest, question.fields_with_model())
    texts = batch(body.input, "input", question.content.unit)
    dimensions = body.dimensions or _DIMENSIONS.get(body.model, _DEFAULT_DIMENSIONS)
    tokens = sum(text.tokens for text in texts)
    question.budget.part = "dimensions" if body.dimensions else "input"
    question.budget.step(len(texts) * dimensions // _PER_STEP)
    data = [b'{"object":"list","data":[']
    for index, text in enumerate(texts):
        floats = vector(body.model, text.text, dimensions)
        embedding = _base64(floats) if body.encoding_format == "base64" else floats.tolist()
        # One at a time: the numbers of a large batch take ten times the memory of their digits.
        item = {"object": "embedding", "index": index, "embedding": embedding}
        data += [orjson.dumps(item), b","]
    used = orjson.dumps(
        {"model": body.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    )
    data[-1] = b"]," + used[1:]
    return WholeReply(JSON, b"".join(data), prompt_tokens=tokens)


def vector(model: str, text: str, dimensions: int) -> "array[float]":
    """A vector of length 1, in single precision."""
    values = array("h", shake_256(f"{model}\0{text}".encode()).digest(2 * dimensions))
    if sys.byteorder == "big":
        values.byteswap()
    # A vector of zeros has no direction.
    length = math.hypot(*values) or 1.0
    return array("f", [value / length for value in values])


def _base64(floats: "array[float]") -> str:
    """The floats in the API's encoding: little-endian, in base64."""
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
