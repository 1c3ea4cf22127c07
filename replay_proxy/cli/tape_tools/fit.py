"""``replay-proxy fit``: latencies and lengths of a cassette's streams, for the dummy to use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from replay_proxy.cli import options, paths, terminal

if TYPE_CHECKING:
    from replay_proxy.transports.dummy.timing.distributions import Distribution
    from replay_proxy.transports.dummy.timing.fit import Fit

#: The quantiles that the table shows, and the characters and the number of a plot's bins.
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BARS = " ▁▂▃▄▅▆▇█"
_BINS = 24
#: Quantile at which the plots end. Otherwise one outlier would press all else into the first bin.
_MOST = 0.99


def fit(
    cassette: options.Name,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a JSON file for DUMMY_LATENCY.")
    ] = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Measure the latencies and lengths of a cassette's streams, for MODE=dummy.

    Example: `replay-proxy fit demo -o latency.json`
    """
    from replay_proxy.transports.dummy.timing.latencies import (
        from_cassette,  # The dummy is large, and only needed here.
    )

    measured = from_cassette(paths.existing_path(cassette, store))
    document = measured.to_json()
    if output is not None:
        with paths.replacement(output) as content:
            content.write(orjson.dumps(document) + b"\n")
    terminal.print_result(document, [_table(measured)], as_json=as_json)


def _table(measured: "Fit") -> terminal.Rows:
    from replay_proxy.transports.dummy.timing.fit import ANY

    columns = [f"p{share * 100:.0f}" for share in _SHARES]
    table = terminal.Rows("model", "streams", "", *columns, f"0 to p{_MOST * 100:.0f}", "prompt")
    for name, each in measured.models.items():
        quantities: list[tuple[str, Distribution, str]] = [
            ("TTFT [ms]", each.ttft_ms(0), f"+ {each.per_kb_ms:,.1f} ms per kB"),
            ("gap [ms]", each.gaps_ms, ""),
            ("tokens", each.tokens, ""),
        ]
        for number, (quantity, distribution, prompt) in enumerate(quantities):
            table.add(
                ("all" if name == ANY else name) if not number else "",
                f"{each.streams:,}" if not number else "",
                quantity,
                *(f"{distribution.quantile(share):,.1f}" for share in _SHARES),
                _plot(distribution),
                prompt,
            )
    return table


def _plot(distribution: "Distribution") -> str:
    """A histogram of one line."""
    end = distribution.quantile(_MOST)
    counts = [0] * _BINS
    for number in range(1000):
        value = distribution.quantile((number + 0.5) / 1000)
        if value <= end:
            counts[min(_BINS - 1, int(_BINS * value / end)) if end else 0] += 1
    most = max(counts)
    return "".join(_BARS[-(-(len(_BARS) - 1) * count // most)] for count in counts)
