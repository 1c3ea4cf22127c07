"""One request to the dummy, and what is drawn for its answer.

In here: what every endpoint needs of a request besides its body. Not in here: bodies
(``validation``), what is answered (each endpoint's own file).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from uuid import uuid4

from replay_proxy.dummy.content import Content
from replay_proxy.wire import Request


@dataclass(frozen=True, slots=True)
class Call:
    """A request, the parts of its path that vary (percent-decoded), and the settings.

    ``fingerprint`` names the request; what is drawn at random depends on it and on the seed only,
    so the same request gets the same answer on any worker.
    """

    request: Request
    path: Mapping[str, str]
    fingerprint: str
    content: Content

    def random(self, purpose: str) -> Random:
        """A source of chance; each purpose has its own, so that none disturbs another."""
        return Random(f"{purpose} {self.content.seed} {self.fingerprint}")  # noqa: S311

    def new_id(self, prefix: str, purpose: object = "") -> str:
        """An id such as ``chatcmpl-…``: new every time, unless ``DUMMY_SEED`` makes runs equal."""
        if self.content.seed is None:
            return f"{prefix}{uuid4().hex}"
        return f"{prefix}{self.random(f'id {prefix}{purpose}').getrandbits(128):032x}"

    def name_model(self, body: dict[str, object]) -> bool:
        """Let the deployment of an Azure path stand for a missing model; False without either."""
        if body.get("model") in (None, "") and "deployment" in self.path:
            body["model"] = self.path["deployment"]
        return body.get("model") not in (None, "")
