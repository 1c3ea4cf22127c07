"""``serve`` over https: with a certificate, with workers, and with files that cannot be used."""

import json
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from replay_proxy.errors import ConfigurationError
from replay_proxy.serving.process import tls_options
from tests.serving.test_listening import Serving
from tests.support.servers import clean_environment
from tests.support.tape import make, recorded


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    new_key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        str(key),
    ]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", *new_key, *subject, "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_sdk_streams_over_https(workers: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    arguments = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    with Serving(tmp_path, *arguments, "--workers", workers, MODE="dummy") as proxy:
        assert "https://127.0.0.1" in proxy.stderr
        trusting = httpx2.Client(verify=ssl.create_default_context(cafile=str(certificate)))
        base_url = f"https://localhost:{proxy.port}/v1"
        with OpenAI(base_url=base_url, api_key="sk-placeholder", http_client=trusting) as client:
            events = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            text = "".join(each.choices[0].delta.content or "" for each in events)
    assert text == "hi의 응답 내용"


def test_an_address_is_one_of_https(files: tuple[Path, Path], tmp_path: Path) -> None:
    one = recorded(
        "Q", b"{}", status=201, headers=((b"location", b"http://upstream.invalid/v1/files/f"),)
    )
    make(tmp_path / "default.sqlite", [one])
    certificate, key = files
    arguments = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    with Serving(tmp_path, *arguments, STORE=str(tmp_path)) as proxy:
        origin = f"https://localhost:{proxy.port}"
        asked = urllib.request.Request(f"{origin}{one.request.path}", one.request.body)
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(asked, timeout=30, context=context) as answer:
            assert answer.headers["location"] == f"{origin}/v1/files/f"
            assert json.load(answer) == {}


def test_files_that_cannot_be_used_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    locked, other = tmp_path / "locked.pem", tmp_path / "other.pem"
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    for path, more in ((locked, ["-aes256", "-pass", "pass:x"]), (other, [])):
        command = ["openssl", "genpkey", *curve, *more, "-out", str(path)]
        subprocess.run(command, check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert tls_options(both, None)["ssl_certfile"] == str(both)
    assert tls_options(None, None) == {}
    wrong: list[tuple[Path | None, Path | None]] = [
        (tmp_path / "missing.pem", None),
        (certificate, None),
        (certificate, other),
        (certificate, locked),
        (key, key),
        (None, key),
    ]
    for pair in wrong:
        with pytest.raises(ConfigurationError, match="--ssl-certfile"):
            tls_options(*pair)


def test_it_does_not_start_with_a_wrong_certificate(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "replay_proxy", "serve", "--ssl-certfile", "nowhere.pem"],
        cwd=tmp_path,
        env=clean_environment() | {"MODE": "dummy"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--ssl-certfile nowhere.pem" in done.stderr
    assert "Traceback" not in done.stderr
