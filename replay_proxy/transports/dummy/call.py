"""One request to the dummy, and what is drawn for its answer.

In here: what every endpoint needs of a request besides its body. Not in here: bodies
(``validation``), what is answered (each endpoint's own file).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from random import Random

from replay_proxy.matching.fingerprint import fingerprint
from replay_proxy.transports.dummy.budget import Budget
from replay_proxy.transports.dummy.sayings.content import Content
from replay_proxy.wire import Request


@dataclass
class Call:
    """A request, the parts of its path that vary (percent-decoded), and the settings.

    ``fingerprint`` is the request's. The answer is paid for from ``budget``.
    """

    request: Request
    path: Mapping[str, str]
    content: Content
    fingerprint: str
    budget: Budget = field(default_factory=Budget)

    @cached_property
    def _asked(self) -> str:
        """The fingerprint of what is asked for, which is the same whether it is streamed."""
        fields = json.loads(self.request.body)
        asked = {k: v for k, v in fields.items() if k not in ("stream", "stream_options")}
        return fingerprint(replace(self.request, body=json.dumps(asked).encode()))

    def random(self, purpose: str) -> Random:
        """A source of chance; each purpose has its own, so that none disturbs another.

        It depends on the request and the seed only: the same request gets the same answer on
        any worker.
        """
        return Random(f"{purpose} {self.content.seed} {self._asked}")  # noqa: S311

    def new_id(self, prefix: str, purpose: object = "") -> str:
        """An id such as ``chatcmpl-…``: the same for the same request and the same seed."""
        named = f"{prefix} {purpose} {self.content.seed} {self.fingerprint}"
        return prefix + blake2b(named.encode(), digest_size=16).hexdigest()

    def name_model(self, body: dict[str, object]) -> bool:
        """Let the deployment of an Azure path stand for a missing model; False without either."""
        if body.get("model") in (None, "") and "deployment" in self.path:
            body["model"] = self.path["deployment"]
        return body.get("model") not in (None, "")
