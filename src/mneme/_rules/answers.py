"""Whether two responses are the same answer."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

from mneme._rules.codec import BYTES, TEXT, decode_response
from mneme.log import log_fields
from mneme.ports import Codec, Record

ValueEq: TypeAlias = Callable[[Any, Any], bool]

logger = logging.getLogger("mneme")


def are_equal(one: Any, other: Any, value_eq: ValueEq) -> bool:
    """What *value_eq* says of two responses; if it raises they are different, which is the side of fewer hits."""
    try:
        return bool(value_eq(one, other))
    except Exception as error:
        extra = log_fields("value_eq_failure", error=error)
        logger.warning("value_eq raised; the two responses count as different answers", exc_info=True, extra=extra)
        return False


def same_answer(one: Record, other: Record, *, codec: Codec | None, value_eq: ValueEq) -> bool:
    """Whether two entries hold the same answer.

    Equal bytes are equal without being decoded. What cannot be decoded is different from everything else.
    """
    if one.codec == other.codec:
        if one.payload == other.payload:
            return True
        if value_eq is operator.eq and one.codec in (TEXT, BYTES):
            return False
    try:
        first = decode_response(one.codec, one.payload, codec)
        second = decode_response(other.codec, other.payload, codec)
    except Exception as error:
        extra = log_fields("decode_failure", error=error)
        logger.warning("a response that cannot be decoded counts as a different answer", exc_info=True, extra=extra)
        return False
    return are_equal(first, second, value_eq)
