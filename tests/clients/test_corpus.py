"""Real traffic, recorded and replayed by real processes: the selection in ``tests/data``.

``python -m tests.corpus`` runs the same over any other file, such as a whole corpus.
"""

import shutil
from pathlib import Path

import pytest

from tests.corpus import DATA, Run, report
from tests.demo import CASSETTE, ask
from tests.support.corpus import load
from tests.support.rawclient import RawClient
from tests.support.servers import Proxy


@pytest.mark.parametrize("variant", ["events", "random"])
def test_real_traffic_is_recorded_and_replayed_identically(variant: str) -> None:
    run = Run(load(DATA / "corpus.jsonl"), variant, seed=3)
    legs = run.through_proxy()
    assert report(run, legs) == 0
    assert [leg.equal for leg in legs] == [101, 95, 95, 90], (
        "401 and 429 are passed, and not stored"
    )


def test_transient_errors_are_stored_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORD_ERRORS", "all")
    run = Run(load(DATA / "corpus.jsonl"))
    legs = run.through_proxy()
    assert report(run, legs) == 0
    assert legs[1].equal > 95


def test_the_shipped_cassette_replays_what_openai_answered(tmp_path: Path) -> None:
    shutil.copyfile(CASSETTE, tmp_path / "demo.sqlite")
    with (
        Proxy(tmp_path, MODE="replay", STORE=str(tmp_path), CASSETTE="demo") as proxy,
        RawClient(proxy.base_url) as client,
    ):
        for record in load(DATA / "demo.jsonl"):
            assert ask(client, record) == record.response_body
