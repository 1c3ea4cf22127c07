"""``POST /v1/embeddings``: texts as vectors.

In here: the vectors and the JSON around them. Not in here: which inputs there are (``batches``).

Equal texts have equal vectors, with every worker and seed; different texts have unrelated ones,
whatever they mean. A vector with fewer dimensions is the beginning of the longer one, of length 1
again, as with OpenAI's (https://platform.openai.com/docs/guides/embeddings).
"""

import math
import sys
from array import array
from base64 import b64encode
from hashlib import shake_256

import orjson

from replay_proxy.transports.dummy.call import Call
from replay_proxy.transports.dummy.endpoints.batches import batch
from replay_proxy.transports.dummy.endpoints.validation import checked, json_object
from replay_proxy.transports.dummy.replies import JSON, Whole
from replay_proxy.transports.dummy.schemas import CreateEmbeddingRequest

_DIMENSIONS = {"text-embedding-3-large": 3072}
_USUAL = 1536
#: So many dimensions are drawn in a step. 2,048 texts of 3,072 dimensions, the most that the API
#: takes at once, are within a budget.
_PER_STEP = 8


def create_embedding(call: Call) -> Whole:
    """Embed an input, or a batch of them. Raises ``InvalidRequest``."""
    fields = json_object(call.request.body)
    call.name_model(fields)
    asked = checked(CreateEmbeddingRequest, fields)
    texts = batch(asked.input, "input", call.content.unit)
    dimensions = asked.dimensions or _DIMENSIONS.get(asked.model, _USUAL)
    tokens = sum(text.tokens for text in texts)
    call.budget.part = "dimensions" if asked.dimensions else "input"
    call.budget.step(len(texts) * dimensions // _PER_STEP)
    data = [b'{"object":"list","data":[']
    for index, text in enumerate(texts):
        floats = vector(asked.model, text.text, dimensions)
        shown = _base64(floats) if asked.encoding_format == "base64" else floats.tolist()
        # One by one: the numbers of a large batch take ten times the memory of their digits.
        item = {"object": "embedding", "index": index, "embedding": shown}
        data += [orjson.dumps(item), b","]
    used = orjson.dumps(
        {"model": asked.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    )
    data[-1] = b"]," + used[1:]
    return Whole(JSON, b"".join(data), prompt_tokens=tokens)


def vector(model: str, text: str, dimensions: int) -> "array[float]":
    """A vector of length 1, in single precision."""
    drawn = array("h", shake_256(f"{model}\0{text}".encode()).digest(2 * dimensions))
    if sys.byteorder == "big":
        drawn.byteswap()
    # One that is nothing but zeros has no direction.
    length = math.hypot(*drawn) or 1.0
    return array("f", [value / length for value in drawn])


def _base64(floats: "array[float]") -> str:
    """The floats as the API packs them: little-endian."""
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()
