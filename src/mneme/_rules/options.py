"""The options of a cache, checked once when it is made."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from mneme._rules.answers import ValueEq
from mneme._rules.arguments import (
    check_callable,
    check_choice,
    check_count,
    check_namespace,
    check_parts,
    check_share,
    check_unit,
)
from mneme._rules.confidence import ConfidenceFn
from mneme._rules.contrast import ValueContrast
from mneme._rules.expiry import TTL, seconds
from mneme._rules.guards_kinds import check_guards
from mneme._rules.keys import normalize_query
from mneme.errors import QuantizationError
from mneme.ports import Codec, Guard, VectorDType

Validator = Callable[[Any], bool]
OnStoreError: TypeAlias = Literal["raise", "miss"]
OnAlarm: TypeAlias = Literal["tighten", "report"]
Threshold: TypeAlias = "float | Literal['certified']"
Eviction: TypeAlias = Literal["lru", "gdsf", "sieve"]
_ERROR_MARKS = ("[ERROR]", "[LLM Error]")


@dataclass(frozen=True, slots=True)
class Options:
    """What decides; nothing in here does anything."""

    default_ttl: float | None
    max_entries: int | None
    namespace_quotas: Mapping[str, int]
    confidence_fn: ConfidenceFn | None
    min_confidence: float | None
    validator: Validator
    normalize: Callable[[str], str]
    codec: Codec | None
    vector_dtype: VectorDType
    max_query_bytes: int
    max_response_bytes: int
    max_metadata_bytes: int
    on_store_error: OnStoreError = "raise"
    value_eq: ValueEq = operator.eq
    value_contrast: ValueContrast | None = None
    alias_threshold: float | None = None
    eviction: Eviction = "lru"
    guards: tuple[Guard, ...] = ()
    audit_rate: float = 0.0
    max_false_hit_rate: float | None = None
    on_alarm: OnAlarm = "tighten"

    @property
    def capped(self) -> bool:
        """Whether there is any limit to how many entries are kept."""
        return self.max_entries is not None or bool(self.namespace_quotas)

    @property
    def highest_threshold(self) -> float:
        """The highest threshold that anything could reach."""
        return 1.0 if self.value_contrast is None else self.value_contrast.highest

    @property
    def failing_is_missing(self) -> bool:
        """Whether a store that fails makes misses instead of errors."""
        return self.on_store_error == "miss"


def default_validator(response: Any) -> bool:
    """Refuse empty or blank text, and text that begins like a reported error."""
    if type(response) is not str:
        return True
    return bool(response) and not response.isspace() and not response.startswith(_ERROR_MARKS)


def make_options(
    *,
    default_ttl: TTL,
    max_entries: int | None,
    namespace_quotas: Mapping[str, int] | None,
    confidence_fn: ConfidenceFn | None,
    min_confidence: float | None,
    validator: Validator | None,
    normalize: bool | Callable[[str], str],
    codec: Codec | None,
    vector_dtype: VectorDType,
    max_query_bytes: int,
    max_response_bytes: int,
    max_metadata_bytes: int,
    on_store_error: OnStoreError = "raise",
    value_eq: ValueEq | None = None,
    value_contrast: bool | ValueContrast = False,
    alias_threshold: float | None = None,
    eviction: Eviction = "lru",
    guards: Sequence[Guard] = (),
    audit_rate: float = 0.0,
    max_false_hit_rate: float | None = None,
    on_alarm: OnAlarm = "tighten",
) -> Options:
    """Check every option; raises `TypeError` or `ValueError` for the first that does not hold."""
    check_callable(confidence_fn, "confidence_fn")
    check_callable(validator, "validator")
    check_callable(value_eq, "value_eq")
    if min_confidence is not None:
        check_unit(min_confidence, "min_confidence")
    if max_entries is not None:
        check_count(max_entries, "max_entries", 1)
    if namespace_quotas is not None and not isinstance(namespace_quotas, Mapping):
        raise TypeError("namespace_quotas must map namespaces to numbers of entries, like {'acme': 10_000}")
    quotas = {
        check_namespace(name): check_count(quota, f"the quota of namespace {name!r}", 0)
        for name, quota in (namespace_quotas or {}).items()
    }
    check_dtype(vector_dtype)
    check_parts(codec, "codec", "name", "encode", "decode")
    return Options(
        default_ttl=seconds(default_ttl, "default_ttl"),
        max_entries=max_entries,
        namespace_quotas=quotas,
        confidence_fn=confidence_fn,
        min_confidence=min_confidence,
        validator=default_validator if validator is None else validator,
        normalize=_normalizer(normalize),
        codec=codec,
        vector_dtype=vector_dtype,
        max_query_bytes=check_count(max_query_bytes, "max_query_bytes", 1),
        max_response_bytes=check_count(max_response_bytes, "max_response_bytes", 1),
        max_metadata_bytes=check_count(max_metadata_bytes, "max_metadata_bytes", 1),
        on_store_error=check_choice(on_store_error, "on_store_error", get_args(OnStoreError)),
        value_eq=operator.eq if value_eq is None else value_eq,
        value_contrast=_contrast(value_contrast),
        alias_threshold=None if alias_threshold is None else check_unit(alias_threshold, "alias_threshold"),
        eviction=check_choice(eviction, "eviction", get_args(Eviction)),
        guards=check_guards(guards),
        audit_rate=check_share(audit_rate, "audit_rate"),
        max_false_hit_rate=_limit(max_false_hit_rate, audit_rate),
        on_alarm=check_choice(on_alarm, "on_alarm", get_args(OnAlarm)),
    )


def _limit(rate: float | None, audit_rate: float) -> float | None:
    """The false-hit rate above which the alarm is raised."""
    if rate is None:
        return None
    check_share(rate, "max_false_hit_rate")
    if rate in {0, 1}:
        raise ValueError(f"max_false_hit_rate must be above 0 and below 1, got {rate!r}: no audit can tell of 0 or 1")
    if not audit_rate:
        raise ValueError("max_false_hit_rate has nothing to go by without audits; set audit_rate= too, such as 0.05")
    return float(rate)


def _contrast(value: bool | ValueContrast) -> ValueContrast | None:  # noqa: FBT001 -- public option
    if isinstance(value, ValueContrast):
        return value
    if not isinstance(value, bool):
        raise TypeError(f"value_contrast must be True, False or a ValueContrast, not {type(value).__name__}")
    return ValueContrast() if value else None


def check_dtype(dtype: Any) -> None:
    """Raise `QuantizationError` for a dtype vectors cannot be held in."""
    if dtype not in get_args(VectorDType):
        raise QuantizationError(f"vector_dtype {dtype!r} is unknown; use one of {', '.join(get_args(VectorDType))}")


def _normalizer(normalize: bool | Callable[[str], str]) -> Callable[[str], str]:  # noqa: FBT001 -- public option
    if normalize is True:
        return normalize_query
    if normalize is False:
        return str  # the text itself
    if not callable(normalize):
        raise TypeError(f"normalize must be True, False or a function, not {type(normalize).__name__}")
    return normalize
