"""One request to the dummy, and the random draws for its answer.

In here: what every endpoint needs from a request. Not in here: types of the fields
(``endpoints.validation``, ``schemas``), answers (``endpoints``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Any

from replay_proxy.errors import InvalidRequest
from replay_proxy.matching.content_coding import content as content_of
from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.transports.dummy.endpoints.validation import NOT_JSON, json_object
from replay_proxy.transports.dummy.sayings.content import Content
from replay_proxy.transports.dummy.timing.observations import model_or_deployment
from replay_proxy.transports.dummy.work_budget import WorkBudget
from replay_proxy.wire import Request

#: Fields that decide how an answer is sent, but not what it says.
_STREAMING = ("stream", "stream_options")
#: Stands for the JSON of a body that has not been read yet.
_UNREAD: Any = object()


@dataclass
class Question:
    """A request, the variable parts of its path (percent-decoded), and the settings.

    ``fingerprint`` is the request's. The work on the answer is paid for from ``budget``. The body
    is read once, however often the answer is begun.
    """

    request: Request
    path: Mapping[str, str]
    content: Content
    fingerprint: str
    budget: WorkBudget = field(default_factory=WorkBudget)
    # Not a cached property: in Python 3.11 that takes a lock.
    _json: dict[str, object] | None = field(default=_UNREAD, init=False, repr=False)

    @property
    def fields(self) -> dict[str, object]:
        """The JSON object in the body, not to be changed. Raises ``InvalidRequest``."""
        fields = self._json_object()
        if fields is None:
            raise InvalidRequest(NOT_JSON)
        return fields

    def fields_with_model(self) -> dict[str, object]:
        """The fields, with the deployment of an Azure path in place of a missing model."""
        fields = self.fields
        if "deployment" in self.path and fields.get("model") in (None, ""):
            return {**fields, "model": self.path["deployment"]}
        return fields

    @property
    def model(self) -> str:
        """The model that the request names, or else the deployment in its path; else ``""``."""
        return model_or_deployment(self.request.path, (self._json_object() or {}).get("model"))

    def random(self, purpose: str) -> Random:
        """A random generator. Each purpose has its own, so that none affects another.

        It depends on the request and the seed only: the same request gets the same answer on
        any worker.
        """
        return Random(f"{purpose} {self.content.seed} {self._unstreamed}")  # noqa: S311

    def new_id(self, prefix: str, purpose: object = "") -> str:
        """An id such as ``chatcmpl-…``: the same for the same request and the same seed."""
        name = f"{prefix} {purpose} {self.content.seed} {self.fingerprint}"
        return prefix + blake2b(name.encode(), digest_size=16).hexdigest()

    def _json_object(self) -> dict[str, object] | None:
        if self._json is _UNREAD:
            self._json = json_object(content_of(self.request))
        return self._json

    @cached_property
    def _unstreamed(self) -> str:
        """The fingerprint of the same request without streaming."""
        if any(name in self.fields for name in _STREAMING):
            return fingerprint(self.request, _without_streaming)
        return self.fingerprint


def _without_streaming(value: Any) -> Any:
    return {name: item for name, item in value.items() if name not in _STREAMING}
