"""The cost of an answer in this checkout, next to another checkout of this project.

    python -m benchmarks.versions ../other    # a checkout with a .venv of its own

Both serve the same requests from copies of one cassette, one process each, and are loaded in turns.
The server's processor time per answer is compared; the ratio is this checkout's divided by the
other's, as a median of the rounds.
"""

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import chats
from benchmarks.contestants import ROOT, Contestant, uvicorn
from benchmarks.load import UNIQUE
from benchmarks.ratios import number_of
from benchmarks.turns import Entry, measure

SIZE = 1_000


def of_checkout(root: Path, name: str, **settings: str) -> Contestant:
    """The proxy of a checkout."""
    program = str(root / ".venv" / "bin" / "uvicorn")
    command = [
        program,
        "replay_proxy.main:app",
        "--port",
        "PORT",
        "--no-access-log",
        "--log-level",
        "warning",
    ]
    return Contestant(name, command, settings, cwd=root)


def works(
    upstream: Contestant, place: Path
) -> dict[str, tuple[dict[str, str], tuple[chats.Questions, str]]]:
    """The workloads: the settings of the server, and its questions."""
    url = f"http://127.0.0.1:{upstream.port}/v1"
    found: dict[str, tuple[dict[str, str], tuple[chats.Questions, str]]] = {}
    for stream in (False, True):
        kind = "streamed" if stream else "plain"
        asked = chats.questions(SIZE, stream=stream)
        says = chats.text(number_of(asked), stream=stream)
        replay = {"MODE": "replay", "STORE": str(chats.cached(SIZE))}
        found[f"replay, {kind}"] = replay, (asked, says)
        prompt = chats.DUMMY_PROMPT + UNIQUE.decode()
        least = ('"content":"', chats.EVENTS) if stream else (chats.DUMMY_PROMPT, 1)
        again = f"{chats.DUMMY_PROMPT}99999999의 응답 내용"
        found[f"dummy, {kind}"] = (
            {"MODE": "dummy"},
            ([(chats.body(prompt, stream=stream), *least)], again),
        )
        record = {"MODE": "record", "UPSTREAM_BASE_URL": url, "STORE": str(place / kind)}
        body = chats.body(f"record {UNIQUE.decode()}", stream=stream)
        found[f"record, {kind}"] = record, ([(body, chats.key(0), 1)], chats.text(0, stream=stream))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        print("| work | this, ms | other, ms | ratio | its range |\n|---|---|---|---|---|")
        for stream in (False, True):
            app = "benchmarks.bare_asgi:in_chunks" if stream else "benchmarks.bare_asgi:whole"
            upstream = uvicorn("the upstream", app)
            stack.callback(upstream.stop)
            upstream.wait()
            for work, (settings, (asked, says)) in works(upstream, Path(directory)).items():
                if work.endswith("streamed") != stream:
                    continue
                entries = []
                for name, root in (("this", ROOT), ("other", arguments.other.resolve())):
                    own = dict(settings)
                    if work.startswith("record"):
                        own["STORE"] += f"-{name}"
                    start = partial(of_checkout, root, name, **own)
                    entries.append(Entry(start, asked, says))
                this, other = measure(entries, arguments.rounds, arguments.seconds)
                ratios = [
                    one / two
                    for (one, _), (two, _) in zip(this.loads, other.loads, strict=True)
                    if one and two
                ]
                print(
                    f"| {work} | {this.processor_ms:.3f} | {other.processor_ms:.3f} "
                    f"| {statistics.median(ratios):.2f} | {min(ratios):.2f}–{max(ratios):.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
