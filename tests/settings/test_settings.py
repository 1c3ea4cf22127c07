"""What can be set, from where, and what is refused with which words."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from replay_proxy.errors import ConfigurationError
from replay_proxy.serving.process import create_app
from replay_proxy.settings import Mode, OnMiss, Repeats, Settings, load
from replay_proxy.settings.loading import load_as_child, load_as_guest, misspelt
from replay_proxy.settings.names import PLAIN

DEFAULTS: dict[str, Any] = {
    "mode": Mode.REPLAY,
    "on_miss": OnMiss.FAIL,
    "store": Path("cassettes"),
    "cassette": "default",
    "upstream_base_url": "https://api.openai.com/v1",
    "upstream_api_key": None,
    "upstream_timeout_s": 600.0,
    "replay_speed": 0.0,
    "drain_s": 5.0,
    "stall_s": 60.0,
    "record_errors": "stable",
    "match_ignore": "",
    "match_headers": "",
    "match_replace": "",
    "repeats": Repeats.LAST,
    "replay_chunks": "kept",
    "dummy_text": "echo",
    "dummy_tokens": "",
    "dummy_chunk": "char",
    "dummy_seed": None,
    "dummy_ttft_ms": "",
    "dummy_itl_ms": "",
    "dummy_tps": None,
    "dummy_prefill_ms": 0.0,
    "dummy_capacity": None,
    "faults": "",
    "fault_seed": 0,
    "rpm": None,
    "tpm": None,
    "dummy_latency": "",
    "allowed_hosts": "",
    "cors_origins": "",
}
#: Each setting with a value that is not its default, as written and as read.
EXAMPLES: list[tuple[str, str, Any]] = [
    ("MODE", "record", Mode.RECORD),
    ("ON_MISS", "dummy", OnMiss.DUMMY),
    ("STORE", "tapes/of/mine", Path("tapes/of/mine")),
    ("CASSETTE", "My_tape-2.1", "My_tape-2.1"),
    ("UPSTREAM_BASE_URL", "https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
    ("UPSTREAM_API_KEY", "sk-abc", SecretStr("sk-abc")),
    ("UPSTREAM_TIMEOUT_S", "2.5", 2.5),
    ("REPLAY_SPEED", "10", 10.0),
    ("DRAIN_S", "0", 0.0),
    ("STALL_S", "2.5", 2.5),
    ("RECORD_ERRORS", "all", "all"),
    ("MATCH_IGNORE", "$.user", "$.user"),
    ("MATCH_HEADERS", "openai-beta", "openai-beta"),
    ("MATCH_REPLACE", "date; uuid", "date; uuid"),
    ("REPEATS", "cycle", Repeats.CYCLE),
    ("REPLAY_CHUNKS", "joined", "joined"),
    ("DUMMY_TEXT", "fixed:안녕", "fixed:안녕"),
    ("DUMMY_TOKENS", "120", "120"),
    ("DUMMY_CHUNK", "word", "word"),
    ("DUMMY_SEED", "7", 7),
    ("DUMMY_TTFT_MS", "normal(350,80)", "normal(350,80)"),
    ("DUMMY_ITL_MS", "20", "20"),
    ("DUMMY_TPS", "50", 50.0),
    ("DUMMY_PREFILL_MS", "12.5", 12.5),
    ("DUMMY_CAPACITY", "64", 64),
    ("FAULTS", "first=2 rate_limit", "first=2 rate_limit"),
    ("FAULT_SEED", "7", 7),
    ("RPM", "60", 60),
    ("TPM", "150000", 150_000),
    ("DUMMY_LATENCY", "cassette:prod", "cassette:prod"),
    ("ALLOWED_HOSTS", "Proxy., *.example.test,[::1]", "proxy,*.example.test,::1"),
    ("CORS_ORIGINS", "http://localhost:80/", "http://localhost"),
]
OURS = (
    "MODE",
    "ON_MISS",
    "STORE",
    "CASSETTE",
    "DRAIN",
    "UPSTREAM_",
    "REPLAY_",
    "RECORD_",
    "DUMMY_",
    "FAULT",
    "RPM",
    "TPM",
    "ALLOWED_HOSTS",
    "CORS_ORIGINS",
)


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and no setting of the one who runs the tests."""
    for name in os.environ:
        if name.upper().removeprefix("REPLAY_PROXY_").startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal() -> str:
    """Why nothing starts."""
    with pytest.raises(ConfigurationError) as refused:
        load()
    return refused.value.message


def guest_refusal(*names: str) -> str:
    """Why ``run`` or, with the names of settings, a tape tool does not start."""
    with pytest.raises(ConfigurationError) as refused:
        load_as_guest(names) if names else load_as_guest()
    return refused.value.message


# --- where a setting comes from -----------------------------------------------------------------


def test_everything_has_a_default() -> None:
    assert load().model_dump() == DEFAULTS
    assert not any(load().named(field) for field in DEFAULTS)


def test_every_setting_is_tested_here() -> None:
    assert {name.lower() for name, _, _ in EXAMPLES} == set(DEFAULTS) == set(Settings.model_fields)


@pytest.mark.parametrize(("name", "written", "read"), EXAMPLES)
def test_a_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, read: object
) -> None:
    monkeypatch.setenv(name, written)
    assert load().model_dump() == {**DEFAULTS, name.lower(): read}
    assert [field for field in DEFAULTS if load().named(field)] == [name.lower()]


@pytest.mark.parametrize(("name", "written", "read"), EXAMPLES)
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_every_setting_has_a_name_with_a_prefix_and_that_one_wins(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, read: object, source: str
) -> None:
    monkeypatch.setenv(name, "this is no value")
    if source == "environment":
        monkeypatch.setenv(f"REPLAY_PROXY_{name}", written)
    else:
        Path(".env").write_text(f"REPLAY_PROXY_{name}={written}\n{name}=nor this\n", "utf-8")
    assert load().model_dump() == {**DEFAULTS, name.lower(): read}
    assert [field for field in DEFAULTS if load().named(field)] == [name.lower()]


def test_the_environment_wins_over_the_env_file_with_a_prefix_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("REPLAY_PROXY_CASSETTE=file\nreplay_proxy_rpm=3\n", "utf-8")
    monkeypatch.setenv("REPLAY_PROXY_CASSETTE", "environment")
    assert (load().cassette, load().rpm) == ("environment", 3)


def test_an_empty_variable_with_a_prefix_is_the_default_whatever_else_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("REPLAY_PROXY_RPM=3\nRPM=4\n", "utf-8")
    monkeypatch.setenv("RPM", "5")
    monkeypatch.setenv("REPLAY_PROXY_RPM", "")
    assert load().rpm is None


def test_an_empty_value_in_the_env_file_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("REPLAY_PROXY_MODE=\n", "utf-8")
    monkeypatch.setenv("MODE", "dummy")
    assert load().mode is Mode.DUMMY


@pytest.mark.parametrize(("name", "written", "read"), EXAMPLES)
def test_a_setting_is_read_from_the_env_file(name: str, written: str, read: object) -> None:
    Path(".env").write_text(f"# mine\nOTHER=1\n{name}={written}\n", "utf-8")
    assert load().model_dump() == {**DEFAULTS, name.lower(): read}
    assert [field for field in DEFAULTS if load().named(field)] == [name.lower()]


@pytest.mark.parametrize(("name", "written", "read"), EXAMPLES)
def test_the_environment_wins_over_the_env_file(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, read: object
) -> None:
    Path(".env").write_text(f"{name}=this is no value\n", "utf-8")
    monkeypatch.setenv(name, written)
    assert load().model_dump() == {**DEFAULTS, name.lower(): read}


@pytest.mark.parametrize("name", [name for name, _, _ in EXAMPLES])
def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "")
    assert load().model_dump() == DEFAULTS
    assert not load().named(name.lower())


@pytest.mark.parametrize("name", [name for name, _, _ in EXAMPLES])
def test_an_empty_value_in_the_env_file_is_no_value(name: str) -> None:
    Path(".env").write_text(f"{name}=\n", "utf-8")
    assert load().model_dump() == DEFAULTS


@pytest.mark.parametrize(("name", "written"), [each[:2] for each in EXAMPLES])
def test_an_empty_variable_hides_the_env_file(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str
) -> None:
    Path(".env").write_text(f"{name.lower()}={written}\n", "utf-8")
    monkeypatch.setenv(name, "")
    assert load().model_dump() == DEFAULTS
    assert not load().named(name.lower())


def test_an_env_file_elsewhere_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("CASSETTE=here\n", "utf-8")
    Path("below").mkdir()
    monkeypatch.chdir("below")
    assert load().cassette == "default"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().mode = Mode.RECORD  # type: ignore[misc]


def test_the_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_API_KEY", "sk-never-shown")
    settings = load()
    assert settings.upstream_api_key is not None
    assert settings.upstream_api_key.get_secret_value() == "sk-never-shown"
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "sk-never-shown" not in shown


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("https://me.openai.azure.com", "https://me.openai.azure.com"),
    ],
)
def test_a_base_url_is_any_http_url(
    monkeypatch: pytest.MonkeyPatch, written: str, read: str
) -> None:
    monkeypatch.setenv("UPSTREAM_BASE_URL", written)
    assert load().upstream_base_url == read


# --- names that are no setting ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REPLAY_PROXY_SPEED", "REPLAY_PROXY_REPLAY_SPEED"),
        ("REPLAY_PROXY_REPLAY_SPED", "REPLAY_PROXY_REPLAY_SPEED"),
        ("replay_proxy_record_error", "REPLAY_PROXY_RECORD_ERRORS"),
        ("REPLAY_PROXY_UPSTREAM_BASEURL", "REPLAY_PROXY_UPSTREAM_BASE_URL"),
        ("REPLAY_PROXY_UPSTREAM_TIMEOUT", "REPLAY_PROXY_UPSTREAM_TIMEOUT_S"),
        ("REPLAY_PROXY_ONMISS", "REPLAY_PROXY_ON_MISS"),
        ("REPLAY_PROXY_CASETTE", "REPLAY_PROXY_CASSETTE"),
        ("REPLAY_PROXY_CASSETTE_NAME", "REPLAY_PROXY_CASSETTE"),
        ("REPLAY_PROXY_MOD", "REPLAY_PROXY_MODE"),
        ("REPLAY_PROXY_RPMS", "REPLAY_PROXY_RPM"),
    ],
)
@pytest.mark.parametrize("value", ["1", ""])
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_an_unknown_name_with_the_prefix_is_refused_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str, value: str, source: str
) -> None:
    if source == "environment":
        monkeypatch.setenv(name, value)
    else:
        Path(".env").write_text(f"{name}=1\n", "utf-8")
    for refused in (refusal(), guest_refusal(), guest_refusal("STORE")):
        assert f"{name.upper()} is not a setting" in refused
        assert f"Did you mean {meant}?" in refused
        assert "unset" in refused


def test_an_unknown_name_like_no_other_is_refused_with_those_that_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPLAY_PROXY_XYZZY", "never-shown")
    message = refusal()
    assert "REPLAY_PROXY_XYZZY is not a setting" in message
    assert all(f"REPLAY_PROXY_{field.upper()}" in message for field in DEFAULTS)
    assert "never-shown" not in message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REPLAY_SPED", "REPLAY_SPEED"),
        ("replay_sped", "REPLAY_SPEED"),
        ("RECORD_ERROR", "RECORD_ERRORS"),
        ("UPSTREAM_API_KEYS", "UPSTREAM_API_KEY"),
        ("UPSTREM_API_KEY", "UPSTREAM_API_KEY"),
        ("ONMISS", "ON_MISS"),
        ("CASETTE", "CASSETTE"),
        ("DRAIN_MS", "DRAIN_S"),
    ],
)
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_a_misspelt_name_without_the_prefix_is_told_and_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    meant: str,
    source: str,
) -> None:
    if source == "environment":
        monkeypatch.setenv(name, "never-shown")
    else:
        Path(".env").write_text(f"{name}=never-shown\n", "utf-8")
    monkeypatch.setenv("MODE", "dummy")
    create_app()
    told = f"replay-proxy: {name.upper()} is not a setting. Did you mean {meant}?\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    "name",
    [
        "REPLAY_PROXY_SERVICE_HOST",
        "REPLAY_PROXY_SERVICE_PORT_HTTP",
        "REPLAY_PROXY_EU_SERVICE_HOST",
        "REPLAY_PROXY_EU_PORT_7777_TCP",
        "REPLAY_PROXY_NAME",
        "REPLAY_PROXY_ENV_MODE",
        "REPLAY_PROXY_PORT",
        "REPLAY_PROXY_PORT_7777_TCP_ADDR",
        "UPSTREAM_SERVICE_HOST",
        "UPSTREAM_PORT_80_TCP",
        "UPSTREAM_HOST",
        "UPSTREAM_ORGANIZATION",
        "REPLAY_API_KEY",
        "REPLAY_EVERYTHING",
        "ON_MISS_CASSETTE",
        "DUMMY_VAR",
        "REPLAY_PROXY",
        "RECORD_VIDEO",
        "MATCH_ID",
        "MODEL",
        "MODES",
        "MOD",
        "STORES",
        "STORAGE",
        "STORE_ID",
        "DRAIN",
        "RECORDS",
        "REPLAY",
        "UPSTREAM",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "CASSANDRA",
        "PATH_TO_STORE",
        "MY_MODE",
        "SNOWFLAKE",
    ],
)
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_somebody_elses_variable_is_neither_refused_nor_told(
    monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    if source == "environment":
        monkeypatch.setenv(name, "1")
    else:
        Path(".env").write_text(f"{name}=1\n", "utf-8")
    assert load().model_dump() == DEFAULTS
    assert not misspelt()
    assert load_as_guest().notes == ()


# --- values that are refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("MODE", "playback", "'record', 'replay' or 'dummy'"),
        ("MODE", "Record", "'record', 'replay' or 'dummy'"),
        ("ON_MISS", "ignore", "'fail', 'dummy' or 'record'"),
        ("STORE", "postgresql+psycopg://db/tapes", "has to be a directory"),
        ("STORE", "sqlite:///tapes.db", "has to be a directory"),
        ("UPSTREAM_BASE_URL", "api.openai.com/v1", "http:// or https:// URL"),
        ("UPSTREAM_BASE_URL", "ftp://api.openai.com", "http:// or https:// URL"),
        ("UPSTREAM_BASE_URL", "https://", "with a host"),
        ("UPSTREAM_BASE_URL", "https://:443/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h/v1#x", "without user, query and fragment"),
        ("UPSTREAM_BASE_URL", "https://[::1", "UPSTREAM_BASE_URL"),
        ("UPSTREAM_BASE_URL", "https://[::1::2]", "UPSTREAM_BASE_URL"),
        ("UPSTREAM_BASE_URL", "https://[fe80::1%eth0]", "with a host"),
        ("UPSTREAM_BASE_URL", "https:/h/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https:\\h/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h\\evil/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h%2eevil/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h evil/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h\tevil/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h..evil/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://ｈ.example/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h:/v1", "with a host"),
        ("UPSTREAM_BASE_URL", "https://h:99999/v1", "between 1 and 65535"),
        ("UPSTREAM_BASE_URL", "https://h:0", "between 1 and 65535"),
        ("UPSTREAM_BASE_URL", "https://h/a/../v1", "'..' segment"),
        ("UPSTREAM_BASE_URL", "https://h/%2e%2e/v1", "'..' segment"),
        ("UPSTREAM_BASE_URL", "https://h//evil/v1", "exactly one '/'"),
        ("UPSTREAM_BASE_URL", "https://h/a b", "visible ASCII"),
        ("UPSTREAM_BASE_URL", "https://h/a\\b", "its path has a"),
        ("UPSTREAM_TIMEOUT_S", "soon", "valid number"),
        ("UPSTREAM_TIMEOUT_S", "0", "greater than 0"),
        ("UPSTREAM_TIMEOUT_S", "-1", "greater than 0"),
        ("UPSTREAM_TIMEOUT_S", "nan", "Input should be"),
        ("REPLAY_SPEED", "fast", "valid number"),
        ("REPLAY_SPEED", "-1", "greater than or equal to 0"),
        ("REPLAY_SPEED", "inf", "finite"),
        ("REPLAY_SPEED", "nan", "finite"),
        ("DRAIN_S", "5s", "valid number"),
        ("DRAIN_S", "-0.1", "greater than or equal to 0"),
        ("DRAIN_S", "inf", "finite"),
        ("STALL_S", "0", "greater than 0"),
        ("RECORD_ERRORS", "none", "'stable' or 'all'"),
        ("DUMMY_TEXT", "quote", "echo, echo_last, lorem, fixed:TEXT or file:PATH"),
        ("DUMMY_TEXT", "fixed", "echo, echo_last, lorem, fixed:TEXT or file:PATH"),
        ("DUMMY_TEXT", "file:", "echo, echo_last, lorem, fixed:TEXT or file:PATH"),
        ("DUMMY_TEXT", "file:missing.txt", "there is no file"),
        ("DUMMY_CHUNK", "line", "char, token, word or a number"),
        ("DUMMY_CHUNK", "0", "char, token, word or a number"),
        ("DUMMY_CHUNK", "-3", "char, token, word or a number"),
        ("DUMMY_SEED", "x", "valid integer"),
    ],
)
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_a_wrong_value_is_refused_by_name_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str, source: str
) -> None:
    if source == "environment":
        monkeypatch.setenv(name, value)
    else:
        Path(".env").write_text(f"{name}='{value}'\n", "utf-8")
    message = refusal()
    assert message.startswith(f"{name}={value} is not valid")
    assert remedy in message
    assert str(Settings.model_fields[name.lower()].description) in message


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODE", "DRAIN_S", "CASSETTE"):
        monkeypatch.setenv(name, "/wrong/")
    message = refusal()
    assert all(
        f"{name}=/wrong/ is not valid" in message for name in ("MODE", "DRAIN_S", "CASSETTE")
    )


def test_a_timeout_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # No timer can be set to it: every request would fail.
    monkeypatch.setenv("UPSTREAM_TIMEOUT_S", "inf")
    assert "UPSTREAM_TIMEOUT_S=inf is not valid" in refusal()


@pytest.mark.parametrize(
    "value", ["http://h:x/v1", "http://h:99999/v1", "http://h\t/v1", "https://h/v1?", "https://h/#"]
)
def test_a_base_url_that_nothing_can_be_sent_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("UPSTREAM_BASE_URL", value)
    assert "UPSTREAM_BASE_URL" in refusal()


@pytest.mark.parametrize("key", ["sk-never-shown\r\nx: y", "sk never-shown", "sk-never-shown\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("UPSTREAM_API_KEY", key)
    message = refusal()
    assert message.startswith("UPSTREAM_API_KEY")
    assert "never-shown" not in message


@pytest.mark.parametrize("written", ["sk-abc\n", " sk-abc\r\n"])
def test_blanks_around_a_key_are_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("UPSTREAM_API_KEY", written)
    assert load().upstream_api_key == SecretStr("sk-abc")


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("UPSTREAM_BASE_URL", "https://me:never-shown@h/v1", "without user, query and fragment"),
        ("UPSTREAM_BASE_URL", "https://me:/never-shown@h/v1", "without user, query and fragment"),
        ("UPSTREAM_BASE_URL", "https://h/v1?api-key=never-shown", "without user, query"),
        ("STORE", "postgresql://me:never-shown@db/tapes", "has to be a directory"),
    ],
)
def test_a_secret_inside_a_refused_url_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(name, value)
    message = refusal()
    assert message.startswith(name)
    assert remedy in message
    assert "never-shown" not in message


@pytest.mark.parametrize("mode", [Mode.RECORD, Mode.DUMMY])
@pytest.mark.parametrize("on_miss", OnMiss)
def test_only_a_replay_can_miss(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, on_miss: OnMiss
) -> None:
    monkeypatch.setenv("MODE", mode)
    monkeypatch.setenv("ON_MISS", on_miss)
    message = refusal()
    assert f"ON_MISS={on_miss}" in message
    assert f"MODE={mode}" in message
    assert "Unset ON_MISS, or set MODE=replay" in message


@pytest.mark.parametrize("on_miss", OnMiss)
def test_a_replay_may_miss_in_every_way(monkeypatch: pytest.MonkeyPatch, on_miss: OnMiss) -> None:
    monkeypatch.setenv("MODE", "replay")
    monkeypatch.setenv("ON_MISS", on_miss)
    assert load().on_miss is on_miss


@pytest.mark.parametrize(
    ("mode", "on_miss", "may"),
    [
        (Mode.RECORD, OnMiss.FAIL, True),
        (Mode.REPLAY, OnMiss.RECORD, True),
        (Mode.REPLAY, OnMiss.FAIL, False),
        (Mode.REPLAY, OnMiss.DUMMY, False),
        (Mode.DUMMY, OnMiss.FAIL, False),
        (Mode.DUMMY, OnMiss.RECORD, False),
    ],
)
def test_only_what_records_may_reach_the_upstream(mode: Mode, on_miss: OnMiss, may: bool) -> None:
    assert Settings(mode=mode, on_miss=on_miss).may_reach_upstream is may


# --- guests in the environment of another program, and their child -------------------------------

#: The settings that a guest reads by their plain names, of another program and of ours.
FOREIGN = [
    ("MODE", "production", "record"),
    ("ON_MISS", "ignore", "dummy"),
    ("STORE", "postgres://me:never-shown@db/shop", "tapes"),
    ("CASSETTE", "카세트", "mine"),
    ("UPSTREAM_BASE_URL", "backend:8080", "http://h/v1"),
    ("UPSTREAM_API_KEY", "never-shown never-shown", "sk-abc"),
    ("UPSTREAM_TIMEOUT_S", "30s", "30"),
]


def test_a_setting_that_is_added_later_has_no_plain_name() -> None:
    assert {name for name, _, _ in EXAMPLES} >= PLAIN
    assert len(PLAIN) == 32, "a plain name may be a variable of another program"


@pytest.mark.parametrize(("name", "foreign", "ours"), FOREIGN)
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_a_guest_passes_over_a_value_that_is_not_valid_and_says_so(
    monkeypatch: pytest.MonkeyPatch, name: str, foreign: str, ours: str, source: str
) -> None:
    def write(value: str) -> None:
        if source == "environment":
            monkeypatch.setenv(name, value)
        else:
            Path(".env").write_text(f"{name}='{value}'\n", "utf-8")

    write(foreign)
    guest = load_as_guest()
    assert guest.settings.model_dump() == DEFAULTS
    assert guest.texts == {}
    [note] = guest.notes
    assert f"{name}" in note
    assert "ignored" in note
    assert f"REPLAY_PROXY_{name}" in note
    assert "never-shown" not in note
    assert f"set REPLAY_PROXY_{name}" in refusal(), "a proxy that is started as such refuses it"

    write(ours)
    guest = load_as_guest()
    assert (guest.settings, guest.texts, guest.notes) == (load(), {name: ours}, ())


OTHERS = [each for each in EXAMPLES if each[0] not in {name for name, _, _ in FOREIGN}]


@pytest.mark.parametrize(("name", "written", "read"), OTHERS)
@pytest.mark.parametrize("source", ["environment", "env file"])
def test_a_guest_reads_all_others_by_the_name_with_the_prefix_only(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, read: object, source: str
) -> None:
    def write(variable: str) -> None:
        if source == "environment":
            monkeypatch.setenv(variable, written)
        else:
            Path(".env").write_text(f"{variable}={written}\n", "utf-8")

    write(name)
    guest = load_as_guest()
    assert (guest.settings.model_dump(), guest.texts) == (DEFAULTS, {})
    [note] = guest.notes
    assert f"REPLAY_PROXY_{name}" in note

    write(f"REPLAY_PROXY_{name}")
    guest = load_as_guest()
    assert guest.settings.model_dump() == {**DEFAULTS, name.lower(): read}
    assert (guest.texts, guest.notes) == ({name: written}, ())


def test_a_wrong_value_of_a_name_with_the_prefix_is_refused_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPLAY_PROXY_MODE", "production")
    for message in (refusal(), guest_refusal()):
        assert message.startswith("REPLAY_PROXY_MODE=production is not valid")
        assert "another program" not in message


def test_options_win_over_everything_and_the_environment_over_what_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("REPLAY_PROXY_RPM=1\nREPLAY_PROXY_TPM=1\n", "utf-8")
    monkeypatch.setenv("REPLAY_PROXY_MODE", "record")
    monkeypatch.setenv("REPLAY_PROXY_DUMMY_SEED", "1")
    monkeypatch.setenv("UPSTREAM_TIMEOUT_S", "1")
    guest = load_as_guest(
        options={"MODE": "dummy", "CASSETTE": ""},
        configured={"dummy_seed": "2", "REPLAY_PROXY_RPM": "2", "UPSTREAM_TIMEOUT_S": "2"},
    )
    assert guest.texts == {
        "MODE": "dummy",
        "DUMMY_SEED": "1",
        "RPM": "2",
        "TPM": "1",
        "UPSTREAM_TIMEOUT_S": "2",
    }


def test_an_unknown_name_that_is_configured_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"REPEAT is not .* mean REPLAY_PROXY_REPEATS\?"):
        load_as_guest(configured={"REPEAT": "fail"})


def test_an_on_miss_of_another_program_does_not_contradict_a_mode_with_the_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ON_MISS", "fail")
    monkeypatch.setenv("REPLAY_PROXY_MODE", "dummy")
    assert load_as_guest().texts == {"MODE": "dummy"}
    monkeypatch.setenv("REPLAY_PROXY_ON_MISS", "fail")
    assert "contradicts" in guest_refusal()


def test_a_tape_tool_reads_the_store_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"MODE": "production", "REPLAY_PROXY_MODE": "x", "RPM": "2"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("STORE", "tapes")
    found = load_as_guest(["STORE"])
    assert (found.texts, found.notes) == ({"STORE": "tapes"}, ())
    assert found.settings.model_dump() == {**DEFAULTS, "store": Path("tapes")}


@pytest.mark.parametrize("content", [b"A=\xff\nMODE=dummy\n", None], ids=["not UTF-8", "a pipe"])
def test_an_env_file_of_another_program_that_cannot_be_read_is_told(content: bytes | None) -> None:
    if content is None:
        os.mkfifo(".env")
    else:
        Path(".env").write_bytes(content)
    guest = load_as_guest()
    assert guest.settings.model_dump() == DEFAULTS
    [note] = guest.notes
    assert note.startswith(".env is ignored")


def test_a_line_of_another_program_that_sets_nothing_is_passed_over() -> None:
    Path(".env").write_text("MODE\nRPM\n", "utf-8")
    assert load_as_guest().notes == ()
    Path(".env").write_text("REPLAY_PROXY_MODE\n", "utf-8")
    assert "sets nothing" in guest_refusal()


def test_a_child_reads_only_what_its_parent_hands_over(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("REPLAY_PROXY_MODE=dummy\nREPLAY_PROXY_SPED=1\n", "utf-8")
    for name, written, _ in EXAMPLES:
        monkeypatch.setenv(name, written)
    monkeypatch.setenv("REPLAY_PROXY_CASSETTE", "mine")
    assert load_as_child().model_dump() == {**DEFAULTS, "cassette": "mine"}


# --- names of cassettes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..",
        ".",
        ".hidden",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "-rf",
        "a b",
        "a\n",
        "a\0b",
        "a?b",
        "%2e%2e%2fx",
        "카세트",
        "x" * 201,
    ],
)
def test_a_name_that_could_leave_the_store_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="a cassette's name is made of letters"):
        Settings(cassette=name)


@pytest.mark.parametrize("name", ["../x", ".hidden", "/abs", "x" * 201])
def test_a_refused_name_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CASSETTE", name)
    assert refusal().startswith(f"CASSETTE={name} is not valid")


@pytest.mark.parametrize("name", ["a", "_", "0", "v1.2", "a..b", "test_x-y.z", "x" * 200])
def test_an_ordinary_name_is_accepted(name: str) -> None:
    assert Settings(cassette=name).cassette == name


@given(st.text(max_size=220) | st.text("./\\ab-_~:\0", max_size=12))
def test_no_accepted_name_leads_out_of_the_store(name: str) -> None:
    try:
        accepted = Settings(cassette=name).cassette
    except ValidationError:
        return
    store = Path("/store")
    file = Path(os.path.normpath(store / f"{accepted}.sqlite"))
    assert file.parent == store
    assert not file.name.startswith(".")
    assert len(os.fsencode(file.name)) < 255
