"""What a user writes never ends in a traceback or a hang: settings, scripts, files, options.

It is taken, or refused with an error of ours, which is short whatever was written.
"""

import asyncio
import contextlib
import itertools
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import typer.main
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from replay_proxy.assembly import Assembly
from replay_proxy.cli.commands import app
from replay_proxy.errors import ConfigurationError, ReplayProxyError, RequestError
from replay_proxy.matching.rules import Rule
from replay_proxy.serving.app import ReplayProxy
from replay_proxy.settings import Settings, load
from replay_proxy.transports.dummy.timing.distributions import MOST, parse
from replay_proxy.transports.dummy.timing.fit import Fit
from replay_proxy.transports.faults.rule import read_rules
from tests.demo import CASSETTE
from tests.support.requests import chat_body, post
from tests.support.servers import clean_environment

HOSTILE = [
    *("inf", "nan", "-1", "0", "-0", "1e400", "1e308", "5e-324", "１２", "٣", "1_0", "0x1", "²"),
    *("1" * 30, "1" * 400, "1" * 5_000, "a" * 5_000, "a" * 100_000, "true", " ", "\t\n", "\udcff"),
    *("[" * 100_000, '{"a":' * 20_000, "(" * 5_000, '"' * 999, "\\", "\u202e", "%", "${A}", "\x7f"),
    *("../x", "/", "file:", "file:/dev/zero", "file:" + "a" * 5_000, "@", "@/dev/zero"),
    *(
        "@/",
        "@" + "a" * 5_000,
        "cassette:",
        "cassette:../x",
        "cassette:none",
        "http://",
        "http://[",
    ),
    *("http://a:99999", "http://a:１", "http://\udcff", "https://" + "a" * 9_000, "http://é", "*"),
    *("normal(", "normal(nan,1)", "normal(1e308,1e308)", "lognormal(1e-320,1e308)", "empirical()"),
    *("exponential(1e308)", "uniform(5,1)", "empirical(" + "1," * 20_000 + "1)", "normal(１,1)"),
    *("first=2 rate_limit", "nth=1,2, cut", "every=１ cut", "share=nan cut", "path=[ cut", "x cut"),
    *("cut(" * 2_000, "stall(seconds=1e308)", "status(99)", "rate_limit(retry_after=1e308)"),
    *("header=\udcff:x cut", "header=a cut", 'content_type("a\rb")', 'status(400,"\udcff")'),
    "cut;" * 999,
    *("$", "$[", "$..", "$.\udcff", "$['\\ud800']", "$[9999999999999999999]", "$[?@.a==1e400]"),
    *("$" + ".a" * 5_000, "$[?" + "(" * 3_000, "$[?" + "!" * 9_000 + "@.a]", "$" + "[?@" * 400),
    *("$[?match(@.a,'((((')]", "$.a,,$.b", "v1:", "v1:\udcff", "9223372036854775808"),
]
anything = st.sampled_from(HOSTILE) | st.text(max_size=30)
NAMES = [name.upper() for name in Settings.model_fields]
BODY = chat_body("hi", stream=True)
MANY = settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],  # Shrinking 100,000 brackets takes minutes.
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


def started() -> None:
    """Start as the proxy does, and stop."""
    asyncio.run(ReplayProxy(load()).assembly.aclose())


def is_told(error: ReplayProxyError) -> bool:
    """Whether a person can read what is wrong."""
    return 10 < len(str(error)) <= 20_000


@MANY
@given(st.sampled_from(NAMES), anything, st.sampled_from(["replay", "dummy", "record"]))
@example("DUMMY_TEXT", "file:" + "a" * 5_000, "dummy")
@example("STORE", "a" * 5_000, "replay")
@example("MATCH_IGNORE", "$[?@.a==1e400]", "replay")
@example("MATCH_IGNORE", "$" + ".a" * 5_000, "replay")
@example("MATCH_HEADERS", "\udcff", "replay")
@example("FAULTS", "@/dev/zero", "dummy")
@example("DUMMY_LATENCY", "file:/dev/zero", "dummy")
def test_no_value_of_a_setting_ends_in_a_traceback(name: str, value: str, mode: str) -> None:
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # No environment can hold it.
        return
    if "\0" in value:
        return
    with environment(**{"MODE": mode, name: value}):
        try:
            started()
        except ReplayProxyError as error:
            assert is_told(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(["RPM", "TPM", "DUMMY_CAPACITY"], ["1" * 400, "9" * 10]),
        *itertools.product(
            ["DRAIN_S", "UPSTREAM_TIMEOUT_S", "REPLAY_SPEED", "DUMMY_PREFILL_MS", "DUMMY_TPS"],
            ["1e308", "1e400", "inf", "nan", "-1", "１２"],
        ),
        *itertools.product(["REPLAY_SPEED", "DUMMY_TPS"], ["5e-324", "1e-320"]),
        *itertools.product(
            ["DUMMY_TTFT_MS", "DUMMY_ITL_MS", "DUMMY_TOKENS"],
            ["1e308", "１２", "1_0", "lognormal(1e-320,1)", "exponential(1e308)", "normal(0,nan)"],
        ),
        *itertools.product(
            ["FAULTS"],
            [
                "rate_limit(retry_after=1e308)",
                "stall(seconds=1e308)",
                "slow_start(１)",
                'content_type("a\rb")',
                'status(400,"a\x01")',
            ],
        ),
        ("DUMMY_CHUNK", "1" * 5_000),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(name: str, value: str) -> None:
    with environment(MODE="dummy", **{name: value}), pytest.raises(ConfigurationError) as refused:
        started()
    assert str(refused.value).startswith(name)
    assert is_told(refused.value)


@given(anything)
@example("lognormal(0.00001,1000000000)")
@example("normal(1000000000,1000000000)")
def test_what_a_distribution_draws_can_be_waited_for(text: str) -> None:
    try:
        drawn = parse(text)
    except ValueError:
        return
    rng = Random(1)
    for number in [*(drawn.sample(rng) for _ in range(20)), *map(drawn.quantile, (1e-300, 0.5))]:
        assert 0 <= number <= MOST
    assert math.isfinite(drawn.mean)


WORDS = """first=2 nth=1,3 every=9 share=.5 path=* model=[ header=a:* cut drip(1,1e9) stall(0,1e400)
status(500,"x") rate_limit(9) ; # ( ) " = , é 1 cut(after_bytes=-1)"""
SCRIPT_WORDS = [*WORDS.split(), "\n", "\ud800", "\x00", "１"]
words = st.lists(
    st.sampled_from(SCRIPT_WORDS) | st.text(max_size=5),
    max_size=8,
)


@MANY
@given(words.map(" ".join) | anything)
def test_no_script_of_faults_ends_in_a_traceback(script: str) -> None:
    with contextlib.suppress(ValueError):
        for rule in read_rules(script):
            assert rule.hits(1) in (True, False)
            rule.counts(post(BODY, "/v1/x", ((b"a", b"\xff"),)))


STEPS = r""".a ..a [0] [-1] [*] .* ['b'] [?@.a] [?@.a<1] [1:9:2] [::0] [?length(@)>1] [ ] ( ? '
[?match(@.b,'a*')] [?@.a==1e999] ['\ud800'] [?count(@.*)>0] [99999999999999999999] [?@['a']==$.b]"""
steps = st.lists(st.sampled_from(STEPS.split()), max_size=7)


@MANY
@given(steps.map(lambda each: "$" + "".join(each)) | anything)
@example("$" + ".a" * 190)
def test_no_jsonpath_ends_in_a_traceback(path: str) -> None:
    body = b'{"a":[1,{"b":"x","a":{"a":null}}],"b":"aaaaaaaaaaaaaaaaaaaaaaaaaaaa"}'
    try:
        rule = Rule([path])
    except ConfigurationError as error:
        assert is_told(error)  # noqa: PT017
    else:
        assert rule.key(post(body, "/v1/x")).startswith("v1:")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xef\xbb\xbfCASSETTE=mine\n", None),
        (b"CASSETTE=mine\r\n", None),
        ("CASSETTE=mine\n".encode("utf-16"), ".env is not UTF-8"),
        (b"CASSETTE=\xe9\n", ".env is not UTF-8"),
        (b"CASSETTE=a\0b\n", "CASSETTE"),
        (b"STORE=a\0b\nCASSETTE=mine", "STORE"),
        (b"UPSTREAM_BASE_URL=http://a\0b\nCASSETTE=mine", "UPSTREAM_BASE_URL"),
        (b"CASSETTE", "sets nothing"),
        (b"=\n'\n\"\nexport\n${\nA=${A}\nCASSETTE=mine", None),
        (b"A=" + b"x" * 1_000_000 + b"\nCASSETTE=mine", None),
        (b"CASSETTE=" + b"x" * 1_000_000, "CASSETTE"),
    ],
)
def test_an_env_file_is_read_or_refused(content: bytes, told: str | None) -> None:
    Path(".env").write_bytes(content)
    if told is None:
        assert load().cassette == "mine"
        return
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert told in str(refused.value)
    assert is_told(refused.value)


def test_an_env_file_that_is_none_is_not_waited_for() -> None:
    Path(".env").mkdir()
    assert load().cassette == "default"
    Path(".env").rmdir()
    os.mkfifo(".env")
    with pytest.raises(ConfigurationError, match="is a pipe"):
        load()


HEADERS = ("x-replay-fault", "x-replay-ttft-ms", "x-replay-itl-ms", "x-replay-cassette")


@MANY
@given(st.sampled_from(HEADERS), st.sampled_from(HOSTILE) | st.binary(max_size=30))
@example("x-replay-ttft-ms", "1e308")
@example("x-replay-itl-ms", "lognormal(1e-320,1e308)")
@example("x-replay-fault", "rate_limit(retry_after=1e308)")
def test_no_header_of_a_request_ends_in_a_traceback(name: str, value: str | bytes) -> None:
    raw = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if b"(seconds=1e308" not in raw and raw.isdigit():
        raw = raw[:1]  # A wait that is asked for is no hang.

    async def answered() -> int:
        assembly = Assembly(Settings(mode="dummy"))
        request = post(BODY, headers=((name.encode(), raw),), arrived_us=1)
        try:
            async with asyncio.timeout(20):
                return (await assembly.transport(None).handle(request)).status
        finally:
            await assembly.aclose()

    try:
        assert asyncio.run(answered()) < 600
    except RequestError as error:
        assert (error.status, is_told(error)) == (400, True)  # noqa: PT017
    except ReplayProxyError as error:  # A fault that was asked for.
        assert (name, is_told(error)) == ("x-replay-fault", True)  # noqa: PT017


TOOLS = {
    name: [each for each in command.params if each.name not in ("help", "record", "all")]
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    if name not in ("run", "serve", "version", "git-setup")
}
PLACES = [(name, str(each.name)) for name, params in TOOLS.items() for each in params]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one's own: some tools delete."""
    return Path(shutil.copytree(CASSETTE.parent, tmp_path_factory.mktemp("tools") / "store"))


@MANY
@given(place=st.sampled_from(PLACES), value=st.sampled_from(HOSTILE) | st.text(max_size=12))
@example(place=("ls", "limit"), value="9223372036854775808")
@example(place=("ls", "offset"), value="1" * 30)
@example(place=("show", "interaction"), value="1" * 5_000)
@example(place=("show", "interaction"), value="v1:\udcff")
@example(place=("refresh", "api_key"), value="\udcff")
def test_no_option_of_a_tool_ends_in_a_traceback(
    place: tuple[str, str], value: str, store: Path
) -> None:
    name, meant = place
    given_, options = [], ["--store", str(store)]
    for parameter in TOOLS[name]:
        written = value if parameter.name == meant else "demo"
        if parameter.param_type_name == "argument":
            given_.append(written)
        elif parameter.name == meant and not getattr(parameter, "is_flag", False):
            options += [f"{parameter.opts[0]}={value}"]
    with environment(UPSTREAM_BASE_URL="http://127.0.0.1:9/v1"):
        done = CliRunner().invoke(app, [name, *options, "--", *given_])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, ReplayProxyError), done.exception
        assert is_told(done.exception)


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["serve"], {"FAULTS": "@/dev/zero"}),
        (["serve", "--port", "99999"], {}),
        (["run", "--", "true"], {"STORE": "a" * 5_000}),
    ],
)
def test_a_wrong_setting_or_option_exits_with_2(
    arguments: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "replay_proxy.cli", *arguments],
        cwd=tmp_path,
        env=clean_environment() | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"version": 1, "models": {"*": 1}},
        {"version": 1, "models": ["*"]},
        {"version": 1, "models": {"*": {"streams": 1, "ttft_ms": {"base": "nan", "per_kb": 1}}}},
        {"version": 1, "models": {"*": {"streams": "1" * 5_000}}},
        {"version": 1, "models": {"*": {"streams": 1, "ttft_ms": {"base": 10**400, "per_kb": 1}}}},
    ],
)
def test_a_fit_that_is_none_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Fit.from_json(document)
