"""LiteLLM without the threads, tasks and settings that it keeps for the life of a process."""

import asyncio
import contextlib

import litellm
import pytest
from litellm._service_logger import ServiceLogging
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
from litellm.litellm_core_utils.thread_pool_executor import BoundedLoggingThreadPoolExecutor

# What LiteLLM's own types are warned of by pydantic, of which LiteLLM's callers can do nothing.
WARNS = [
    pytest.mark.filterwarnings("ignore:.* the `ReadOnly` qualifier:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_.*fields' attribute on the instance:DeprecationWarning"),
]


@contextlib.contextmanager
def alone(monkeypatch):
    """Its callbacks run at once, and its cache is taken away again."""
    callbacks = (litellm.input_callback, litellm.success_callback, litellm._async_success_callback)
    before = [list(one) for one in callbacks]
    monkeypatch.setattr(
        BoundedLoggingThreadPoolExecutor, "submit", lambda self, call, *args, **more: call(*args, **more)
    )
    monkeypatch.setattr(ServiceLogging, "service_success_hook", lambda *_, **__: None)  # it makes an event loop
    try:
        yield
    finally:
        litellm.cache = None
        for one, was in zip(callbacks, before, strict=True):
            one[:] = was


async def settled():
    """Wait for what it does in the background: it writes to the cache there, and to its log."""
    worker = GLOBAL_LOGGING_WORKER
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        others.discard(worker._worker_task)  # which waits for more, until it is stopped
        if others:
            await asyncio.wait(others)
        else:
            await worker.flush()
            await worker.stop()
