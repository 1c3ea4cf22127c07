"""Answers of the current second, which can be given again as they are.

A load test repeats the same request. Within one second its answers are equal, since only
``created`` depends on the time. In here: which answer can be given again. Not in here: making one.
"""

import time

from replay_proxy.wire import Request, Response

#: Maximum number of answers that are kept, and size of a request or an answer: 64 MB in all.
ENTRIES, BYTES = 256, 128_000

_Key = tuple[str, str, str, bytes]


class Recent:
    """The answers of the current second."""

    def __init__(self) -> None:
        self._second = 0
        self._answers: dict[_Key, Response] = {}

    def get(self, request: Request) -> Response | None:
        """The answer to an equal request in this second."""
        if self._second != (second := int(time.time())):
            self._second = second
            self._answers.clear()
        return self._answers.get(_key(request))

    def put(self, request: Request, response: Response) -> None:
        """Keep an answer made since ``get``, if it is whole and small."""
        body = response.body
        small = isinstance(body, bytes) and max(len(body), len(request.body)) <= BYTES
        if small and len(self._answers) < ENTRIES and self._second == int(time.time()):
            self._answers[_key(request)] = response


def _key(request: Request) -> _Key:
    return request.method, request.path, request.query, request.body
