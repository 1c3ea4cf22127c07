"""Whether an answer may be what a client repeats its GET for, until another one comes. Pure.

A batch, a run, a video or a response in the background is asked for until its status says that it
has ended. If the recording stops before, replay repeats the last answer, and the client never ends.
"""

import re

import orjson

from replay_proxy.cassette import Interaction

#: Lists of models are read by health checks, for as long as a proxy runs.
_MODELS = re.compile(r"/models(?:/[^/]+)?/?\Z")
#: The content of a file, a video or a container's file, which may be JSON.
_CONTENT = re.compile(r"/content/?\Z")
#: Values of ``status`` or ``state`` after which nobody asks again.
_ENDED = re.compile(
    r"completed?|succe\w+|done|finished|ended|processed|ready|active|available|deleted|fail\w+"
    r"|error\w*|cancell?ed|expired|incomplete|rejected|aborted|stopped|ok|healthy",
    re.IGNORECASE,
)
#: Maximum size of JSON that may be the state of a job, which clients ask for repeatedly.
_MOST_BYTES = 1 << 20


def may_be_awaited(answer: Interaction) -> bool:
    """Whether a client may repeat its GET because of this answer."""
    if _MODELS.search(answer.request.path):
        return False
    if answer.status >= 400 or answer.status == 202:
        return True
    is_content = answer.status == 206 or _CONTENT.search(answer.request.path) is not None
    if is_content or len(answer.body) > _MOST_BYTES:
        return False
    if answer.status == 304:  # What the client has may be a state that it waits to change.
        return True
    try:
        value = orjson.loads(answer.body)
    except ValueError:
        return False  # The content of a file.
    if not isinstance(value, dict):
        return True
    state = value.get("status", value.get("state"))
    return not (isinstance(state, str) and _ENDED.fullmatch(state))
