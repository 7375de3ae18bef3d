"""Tokens are seen nowhere: not in what a server says back, an error, a log, a report, a child, an answer to scripts."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.client import open_client
from collectors.model import SourceFault
from collectors.process import environment
from collectors.redaction import Secret, redact
from console.session import crash
from tests.faults import fault
from tests.support import slurmrestd_server
from tests.support.make import Commands

TOKEN = "wk7-Zt4mQx9LrBv2Hs6yPd1c"
WACHT = [sys.executable, "-c", "from console.cli.main import main; main()"]


class Parrot(BaseHTTPRequestHandler):
    """Refuses everybody, and repeats what it was sent: in its reason, its headers, as JSON and as plain text."""

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization") or self.headers.get("X-SLURM-USER-TOKEN") or ""
        seen.append(sent)
        error = {"error": f"bad {sent}", "message": f"bad {sent}", "status": "error", "errorType": "auth"}
        body = json.dumps({**error, "errors": [{"error": sent, "description": sent, "source": sent}]})
        if self.path.endswith("/v1/query"):
            body = f"<html>{'x' * 172}{sent}"  # of which 200 characters are shown: 15 of the token
        self.send_response(401, "no")
        self.send_header("Www-Authenticate", sent)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, *words: object) -> None:
        """In silence."""


seen: list[str] = []


@pytest.fixture
def parrot() -> Iterator[str]:
    """The address of one."""
    seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def token_file(tmp_path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


@fault("files", "a token in a value that is printed, formatted, pickled, copied or in the locals of an error",
       "it shows itself as Secret(…), or not at all")  # fmt: skip
def test_a_secret_shows_itself_only_when_asked(monkeypatch):
    secret = Secret(TOKEN)
    for shown in (repr(secret), str(secret), f"{secret}", f"{[secret]}", f"{secret!r:>20}", "%s" % secret):  # noqa: UP031
        assert TOKEN not in shown and "Secret(…)" in shown
    for written in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            written(secret)  # type: ignore[operator]
        assert TOKEN not in "".join(traceback.format_exception(caught.value))
    try:
        raise ValueError(secret)
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        assert TOKEN not in told and "Secret(…)" in told
        assert TOKEN not in crash.report([error])


def test_what_others_say_of_it_is_hidden_whole_or_cut():
    secret = Secret(TOKEN)
    for said in (f"bad {TOKEN}", f"bad {TOKEN[:14]}", f'"{TOKEN}"', f"Bearer {TOKEN}; and more"):
        assert TOKEN[:12] not in redact(said)
        assert TOKEN[:12] not in str(SourceFault("auth", said).fault) + str(SourceFault("auth", said))
    assert redact(f'say "{secret.reveal()}" again') == 'say "(secret)" again'
    Secret("to")
    assert redact("to be told") == "to be told", "what is part of any word is no token"
    for number in range(100):
        Secret(f"another-one-{number:08}")
    assert "another-one-" not in redact("another-one-00000099")


@pytest.mark.slow
@fault("network", "servers that refuse the token and repeat it in status, headers and body, whole and cut",
       "snapshot, doctor, log and errors show the refusal and no part of the token")  # fmt: skip
def test_a_server_that_repeats_a_token_shows_it_to_nobody(parrot, token_file, tmp_path):
    jwt = slurmrestd_server.token()
    jwt_file = tmp_path / "jwt"
    jwt_file.write_text(jwt)
    jwt_file.chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[cluster.lab]\nslurm = {{ transport = "rest", url = "{parrot}", token_file = "{jwt_file}" }}\n'
        f'prometheus = {{ url = "{parrot}", token_file = "{token_file}" }}\n'
        f'alertmanager = {{ url = "{parrot}", token_file = "{token_file}" }}\n'
    )
    config.chmod(0o600)
    log = tmp_path / "log"
    env = {
        **os.environ,
        "XDG_STATE_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PYTHONPATH": str(Path.cwd()),
    }
    shown = ""
    for words in (("snapshot", "--json"), ("snapshot",), ("doctor", "--json"), ("doctor",)):
        done = subprocess.run([*WACHT, *words, "--config", str(config), "--log", str(log)], env=env, cwd="/",
                              capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert done.returncode in {1, 2}, done.stderr
        shown += done.stdout + done.stderr
    shown += log.read_text()
    assert {f"Bearer {TOKEN}", jwt} <= set(seen), "the servers have seen the tokens"
    assert shown.count("401") >= 6 and "(secret)" in shown
    for part in (TOKEN[:12], jwt[:12], jwt.split(".")[1]):
        assert part not in shown


@fault("files", "a token from `scontrol token`, and tokens in files, while commands are started",
       "no child has one in its words or its environment")  # fmt: skip
def test_no_child_is_given_a_token(parrot, token_file, tmp_path, monkeypatch):
    jwt, dump = slurmrestd_server.token(), tmp_path / "children"
    commands = Commands(tmp_path, monkeypatch)
    for program in ("scontrol", "squeue", "sinfo", "sacctmgr", "sdiag"):
        said = f'test "$1" = token && echo "SLURM_JWT={jwt}"'
        commands.script(program, f"cat /proc/$$/environ /proc/$$/cmdline >> {dump}; echo >> {dump}; {said}")
    config = tmp_path / "config.toml"
    config.write_text(
        f'[cluster.lab]\nslurm = {{ transport = "rest", fallback = ["cli"], url = "{parrot}" }}\n'
        f'prometheus = {{ url = "{parrot}", token_file = "{token_file}" }}\n'
    )
    config.chmod(0o600)
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "WACHT_OF_NOBODY": TOKEN, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([*WACHT, "doctor", "--config", str(config)], env=env, cwd="/", capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    told = dump.read_bytes()
    assert jwt in seen and told.count(b"LC_ALL=C.UTF-8") >= 2, done.stderr
    for part in (TOKEN[:12], jwt[:12]):
        assert part.encode() not in told and part not in done.stdout + done.stderr
    assert "WACHT_OF_NOBODY" not in environment()


def test_the_loggers_of_libraries_show_no_token_and_do_not_get_into_the_log(parrot, token_file, tmp_path, caplog):
    from console.runtime import log

    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "urllib3", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    path = tmp_path / "log"
    log.begin(str(path))
    client = open_client(AlertmanagerSettings(url=parrot, token_file=str(token_file)))
    with pytest.raises(SourceFault):
        client.ask("GET", "/alerts")
    client.close()
    logging.getLogger("httpx").warning("a header: %s", TOKEN)
    log.info("here", "one line")
    log.end()
    for name in ("httpx", "httpcore", "urllib3", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    assert seen == [f"Bearer {TOKEN}"] and path.read_text().endswith("Z INFO here one line\n")
    assert path.read_text().count("\n") == 1
    assert "httpx" in caplog.text and "one line" not in caplog.text, "and wacht's own lines go nowhere else"
