"""Whether the options of a store make sense."""

from __future__ import annotations

from typing import Any

from mneme.stores._dynamodb_connection import Reach

__all__ = ["checked_reach", "checked_seconds", "checked_word"]


def checked_word(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value or "#" in value or len(value.encode(errors="surrogatepass")) > 512:
        raise ValueError(f"{name} must be 1 to 512 bytes long and have no '#' in it, not {value!r}")
    return value


def checked_seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not 0 < value <= 86_400:
        raise ValueError(f"{name} must be above 0 and at most 86400 seconds, not {value!r}")
    return float(value)


def checked_reach(
    client: Any, region_name: str | None, endpoint_url: str | None, timeout: float, max_connections: int
) -> Reach:
    if client is not None and (region_name is not None or endpoint_url is not None):
        raise ValueError("a client knows its region and its endpoint: pass either client or these")
    if isinstance(max_connections, bool) or not isinstance(max_connections, int):
        raise TypeError(f"max_connections must be an int, not {type(max_connections).__name__}")
    if not 0 < max_connections <= 10_000:
        raise ValueError(f"max_connections must be between 1 and 10000, not {max_connections!r}")
    return Reach(client, region_name, endpoint_url, checked_seconds("timeout", timeout), max_connections)
