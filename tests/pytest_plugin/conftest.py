"""The sample project, recorded once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sample_project import REQUESTS, SAMPLE, Project, api, recording
from tests.support.upstream import Upstream


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with api() as it:
        yield it


@pytest.fixture(scope="session")
def recorded(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(SAMPLE).copy(tmp_path_factory.mktemp("recorded") / "sample")
    done = project.run("--replay-mode=record", **recording(upstream))
    assert done.code == 0, done.output
    assert done.summary == (
        f"replay-proxy: 0 hits, 0 misses, {REQUESTS} recorded, 0 dummy, 0 tokens saved"
    )
    return project


@pytest.fixture
def project(recorded: Project, tmp_path: Path) -> Project:
    return recorded.copy(tmp_path / "sample")
