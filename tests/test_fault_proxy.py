"""The proxy that spoils requests: what it does, and that it can be run from a shell."""

import http.client
import json
import re
import signal
import subprocess
import sys
import urllib.parse
from collections import Counter
from pathlib import Path

import pytest

from tests.chat_server import ChatServer
from tests.fault_proxy import FAULTS, FaultProxy

BODY = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "a b c"}]})


def post(base_url: str) -> tuple[int, bytes]:
    """Send a chat request on a fresh connection; return the answer's status and body."""
    address = urllib.parse.urlsplit(base_url)
    line = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        line.request("POST", f"{address.path}/chat/completions", BODY)
        response = line.getresponse()
        return response.status, response.read()
    finally:
        line.close()


def spoilt(kind: str, server: ChatServer) -> FaultProxy:
    return FaultProxy(server.url, 1.0, kinds=[kind], slow_seconds=0.01)


def test_without_faults_the_answer_is_the_servers() -> None:
    with ChatServer() as server, FaultProxy(server.url, 0.0) as proxy:
        ours, theirs = post(proxy.base_url), post(server.base_url)
        assert ours == theirs
        assert ours[0] == 200
        assert (proxy.passed, dict(proxy.done)) == (1, {})


@pytest.mark.parametrize(
    ("kind", "reached"), [("dropped_before", 0), ("dropped_after", 1), ("slow", 0)]
)
def test_dropped_requests_get_no_answer(kind: str, reached: int) -> None:
    with ChatServer() as server, spoilt(kind, server) as proxy:
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            post(proxy.base_url)
        assert len(server.bodies) == reached
        assert proxy.done == {kind: 1}


def test_a_truncated_answer_is_shorter_than_it_says() -> None:
    with ChatServer() as server, spoilt("truncated", server) as proxy:
        whole = post(server.base_url)[1]
        with pytest.raises(http.client.IncompleteRead) as caught:
            post(proxy.base_url)
    assert whole.startswith(caught.value.partial[:20])
    assert 0 < len(caught.value.partial) < len(whole)


def test_made_up_answers() -> None:
    found = {}
    with ChatServer() as server:
        for kind in ("too_many_requests", "server_error", "error_page", "garbage"):
            with spoilt(kind, server) as proxy:
                found[kind] = post(proxy.base_url)
        assert server.bodies == []
    assert {kind: status for kind, (status, _) in found.items()} == {
        "too_many_requests": 429,
        "server_error": 500,
        "error_page": 502,
        "garbage": 200,
    }
    assert b"<html>" in found["error_page"][1]


def test_which_requests_are_spoilt_follows_from_seed_and_number() -> None:
    def faults(seed: int) -> list[str]:
        proxy = FaultProxy("http://127.0.0.1:1", 0.2, seed)
        proxy.server_close()
        return [proxy.next_fault()[0] for _ in range(2_000)]

    first = faults(1)
    assert first == faults(1) != faults(2)
    counts = Counter(first)
    assert 0.17 < 1 - counts.pop("") / 2_000 < 0.23
    assert sorted(counts) == sorted(FAULTS)
    assert min(counts.values()) > 25


def test_it_runs_from_a_shell() -> None:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "tests.fault_proxy", "--rate", "0", "--upstream"]
    with (
        ChatServer() as server,
        subprocess.Popen([*command, server.url], stdout=subprocess.PIPE, text=True, cwd=root) as p,
    ):
        assert p.stdout is not None
        base_url = p.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", base_url)
        assert post(base_url)[0] == 200
        p.send_signal(signal.SIGINT)
        assert json.loads(p.stdout.read()) == {"passed": 1}
    assert p.returncode == 0
