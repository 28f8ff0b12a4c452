"""Where answers come from: an endpoint, the small model in this process, or nowhere, and then that is said."""

from __future__ import annotations

from showcase.models.base import Answer, CutOffError, Message, Model, ModelError
from showcase.models.endpoint import EndpointModel
from showcase.models.local import LocalModel
from showcase.models.missing import NoModel

__all__ = [
    "Answer",
    "CutOffError",
    "EndpointModel",
    "LocalModel",
    "Message",
    "Model",
    "ModelError",
    "NoModel",
    "choose",
]


def choose(endpoint: str | None, model: str | None = None, api_key: str | None = None) -> Model:
    """The model behind *endpoint*, or without one the local model, or one that says what is missing.

    Raises:
        ValueError: *endpoint* is no address.
    """
    if endpoint is not None:
        return EndpointModel(endpoint, model, api_key)
    try:
        return LocalModel()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return NoModel(f"{error}")
