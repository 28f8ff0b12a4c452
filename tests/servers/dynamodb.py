"""DynamoDB as moto plays it: a web server of its own, in memory, whose tables are gone when it ends."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

# It ends with its parent, however that ends: by the kernel's word where there is such a thing, else by looking.
SERVER = """
import ctypes, logging, os, sys, threading, time
from moto.dynamodb.models.dynamo_type import Item, LimitedSizeDict
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

parent = int(sys.argv[1])

def watch():
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != parent:
        os._exit(0)
else:
    threading.Thread(target=watch, daemon=True).start()

class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections

def copied(item, memo):
    # moto copies the whole table for every transaction. Values are never changed in place by what the store asks for.
    twin = Item.__new__(Item)
    twin.hash_key, twin.range_key, twin.attrs = item.hash_key, item.range_key, LimitedSizeDict()
    dict.update(twin.attrs, item.attrs)
    return twin

Item.__deepcopy__ = copied

logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = DomainDispatcherApplication(create_backend_app)
lock = threading.Lock()

def application(environ, start_response):
    with lock:  # moto looks at a condition first and writes then; DynamoDB does both at once
        return list(moto(environ, start_response))

server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
print(server.port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def serving(directory: Path):
    """A server on a port of its own; its address."""
    directory.mkdir()
    log = directory / "log"
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}  # moto looks for some
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
        )
    try:
        with process.stdout:
            port = process.stdout.readline().strip()
        if not port:
            process.wait()
            raise RuntimeError(f"moto did not start:\n{log.read_text(encoding='utf-8')}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
