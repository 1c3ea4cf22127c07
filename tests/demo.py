"""Build ``cassettes/demo.sqlite`` from ``tests/data/demo.jsonl``: ``python -m tests.demo``.

The traffic is real (``tests/data/NOTICE.md``). Its recordings have no times, so the upstream here
sends the first byte after 300 ms and then an event every 20 ms.
"""

import shutil
import tempfile
from pathlib import Path

from tests.support.corpus import Record, load, without
from tests.support.rawclient import RawClient
from tests.support.script import Answer, Received, Step, Wait
from tests.support.servers import Proxy
from tests.support.upstream import Upstream

DATA = Path(__file__).parent / "data" / "demo.jsonl"
CASSETTE = Path(__file__).parents[1] / "cassettes" / "demo.sqlite"
PER_CONNECTION = frozenset({b"host", b"accept-encoding", b"connection", b"content-length"})


def answer(record: Record) -> Answer:
    """The recorded answer, with plausible times."""
    steps: list[Step] = [Wait(0.3)]
    for piece in record.pieces():
        steps += [piece, Wait(0.02)]
    framing = "chunked" if record.framing == "none" else record.framing
    return Answer(record.status, record.sent_headers, steps[:-1], framing)


def ask(client: RawClient, record: Record) -> bytes:
    """The body of the proxy's answer."""
    headers = without(record.request_headers, PER_CONNECTION)
    got = client.request(record.method, record.target, headers, record.request_body)
    assert got.clean
    return got.body


def main() -> None:
    records = load(DATA)
    turn = iter(records)

    def script(_: Received) -> Answer:
        return answer(next(turn))

    with tempfile.TemporaryDirectory() as name:
        with (
            Upstream(script) as upstream,
            Proxy(
                Path(name),
                MODE="record",
                STORE=name,
                CASSETTE="demo",
                UPSTREAM_BASE_URL=upstream.base_url,
            ) as proxy,
            RawClient(proxy.base_url) as client,
        ):
            for record in records:
                assert ask(client, record) == record.response_body
        shutil.copyfile(Path(name, "demo.sqlite"), CASSETTE)
    print(f"{CASSETTE.name}: {len(records)} interactions, {CASSETTE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
