"""Starts and stops a real vLLM server on 127.0.0.1 for ``make vllm-test``.

vLLM lives in an environment of its own; ``MEMGYM_VLLM_PYTHON`` names that environment's Python.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["ENGINE_OPTIONS", "PYTHON_VARIABLE", "VLLMServer", "vllm_environment", "vllm_python"]

PYTHON_VARIABLE = "MEMGYM_VLLM_PYTHON"
START_SECONDS = 300
STOP_SECONDS = 20

ENGINE_OPTIONS = {
    "dtype": "float32",  # replies are compared with those of transformers
    "enforce_eager": True,  # compiling takes longer than all of the tests
    "block_size": 32,  # tokens that the prefix cache keeps together; the least on a CPU
    "max_num_seqs": 64,
    # The CPU build dies when a seeded request is read in several parts: its generators cannot be
    # set back (seen with 0.32).
    "enable_chunked_prefill": False,
    "max_num_batched_tokens": 8_192,
}


def vllm_python() -> str:
    """Return the interpreter that has vLLM."""
    found = os.environ.get(PYTHON_VARIABLE, "")
    if not found:
        raise RuntimeError(f"set {PYTHON_VARIABLE} to the Python of an environment with vLLM")
    return found


def vllm_environment() -> dict[str, str]:
    """Return the environment variables under which vLLM runs: little memory, no network."""
    quiet = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return {**os.environ, **quiet}


class VLLMServer:
    """Serves a model as ``tiny`` while the ``with`` block lasts.

    Args:
        model: Its folder.
        log: File for what the server prints.
        variables: Environment variables for it besides.

    Attributes:
        url: Its address.
        seconds: How long it took to start.
    """

    def __init__(self, model: Path, log: Path, variables: Mapping[str, str] | None = None) -> None:
        self._model = model
        self._variables = variables or {}
        self._log = log
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.seconds = 0.0

    def __enter__(self) -> Self:
        flags = []
        for name, value in ENGINE_OPTIONS.items():
            words = name.replace("_", "-")
            if isinstance(value, bool):
                flags.append(f"--{words}" if value else f"--no-{words}")
            else:
                flags += [f"--{words}", str(value)]
        begin = time.monotonic()
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    vllm_python(), "-m", "vllm.entrypoints.openai.api_server",
                    "--model", str(self._model), "--served-model-name", "tiny",
                    "--host", "127.0.0.1", "--port", str(self._port),
                    "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
                    "--enable-prefix-caching", "--enable-prompt-tokens-details",
                    "--disable-log-stats", *flags,
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**vllm_environment(), **self._variables},
                start_new_session=True,  # it has children; they are stopped together
            )  # fmt: skip
        try:
            self._wait(begin + START_SECONDS)
        except BaseException:
            self._stop()
            raise
        self.seconds = time.monotonic() - begin
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _wait(self, until: float) -> None:
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > until:
                lines = self._log.read_text(errors="replace").splitlines()
                tail = "\n".join(lines[-40:])
                raise RuntimeError(f"the vLLM server did not start:\n{tail}")
            time.sleep(0.5)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:  # not listening yet; urllib's errors are OSErrors too
            return False

    def _stop(self) -> None:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sent)
            except ProcessLookupError:
                break
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
