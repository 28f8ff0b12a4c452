"""`memoize`: a function's calls answered from a cache. Built on the faces' public verbs alone."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from mneme._rules.binding import Binding
from mneme._rules.keys import Scope
from mneme.types import CacheInfo

P = ParamSpec("P")
R = TypeVar("R")


class _Cache(Protocol):
    """What a decorated function needs of either face."""

    @property
    def get_or_compute(self) -> Callable[..., Any]: ...
    @property
    def delete(self) -> Callable[..., Any]: ...


class _Plan:
    """What `memoize` was told, and what it counts; shared by a function and its bound methods."""

    def __init__(self, cache: _Cache, binding: Binding, namespace: str, options: dict[str, Any]) -> None:
        self.cache = cache
        self.binding = binding
        self.namespace = namespace
        self.options = options
        self._lock = threading.Lock()
        self._calls = 0
        self._computed = 0

    def count(self, *, computed: bool) -> None:
        with self._lock:
            self._calls += 1
            self._computed += computed

    def info(self) -> CacheInfo:
        with self._lock:
            return CacheInfo(hits=self._calls - self._computed, misses=self._computed)


class _Run:
    """What computes one call, and whether it was called for it; an `audit` in the background does not count."""

    def __init__(self, audit: Callable[[str], Any]) -> None:
        self._mneme_audit = audit
        self.computed = False

    def __call__(self, query: str) -> Any:
        self.computed = True
        return self._mneme_audit(query)


class _AwaitedRun(_Run):
    """One that does not block."""

    def __init__(self, audit: Callable[[str], Any]) -> None:
        async def awaited(query: str) -> Any:
            return await audit(query)

        super().__init__(awaited)

    async def __call__(self, query: str) -> Any:
        self.computed = True
        return await self._mneme_audit(query)


class _Base(Generic[P, R]):
    """A decorated function of either kind."""

    def __init__(self, function: Callable[P, Any], plan: _Plan, bound: tuple[Any, ...] = ()) -> None:
        self.__wrapped__ = function
        self._plan = plan
        self._bound = bound
        functools.update_wrapper(cast("Callable[..., Any]", self), function)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A method: what is decorated in a class is called with the instance first."""
        if instance is None:
            return self
        return type(self)(self.__wrapped__, self._plan, (*self._bound, instance))

    def cache_info(self) -> CacheInfo:
        """How many calls were answered without running the function, and how many ran it; failures count as neither."""
        return self._plan.info()

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = cast("Callable[..., Any]", self.__wrapped__)
        return function(*self._bound, *args, **kwargs)

    def _request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        query, scope = self._plan.binding.request((*self._bound, *args), kwargs)
        return query, {"namespace": self._plan.namespace, "scope": scope}


class Memoized(_Base[P, R]):
    """A function whose calls are answered from a `SemanticCache`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._call(args, kwargs, bypass=False)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function and replace what is stored for this call."""
        return self._call(args, kwargs, bypass=True)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove what is stored for this very call; whether there was anything."""
        query, identity = self._request(args, kwargs)
        return bool(self._plan.cache.delete(query, **identity))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, bypass: bool) -> R:
        query, identity = self._request(args, kwargs)
        run = _Run(lambda _query: self._run(args, kwargs))
        value = self._plan.cache.get_or_compute(query, run, bypass=bypass, **identity, **self._plan.options)
        self._plan.count(computed=run.computed)
        return cast("R", value)


class AsyncMemoized(_Base[P, R]):
    """A function whose calls are answered from an `AsyncSemanticCache`; they are awaited, whatever it was."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._call(args, kwargs, bypass=False)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function and replace what is stored for this call."""
        return await self._call(args, kwargs, bypass=True)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove what is stored for this very call; whether there was anything."""
        query, identity = self._request(args, kwargs)
        return bool(await self._plan.cache.delete(query, **identity))

    async def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, bypass: bool) -> R:
        query, identity = self._request(args, kwargs)
        kind = _AwaitedRun if inspect.iscoroutinefunction(self.__wrapped__) else _Run
        run = kind(lambda _query: self._run(args, kwargs))
        value = await self._plan.cache.get_or_compute(query, run, bypass=bypass, **identity, **self._plan.options)
        self._plan.count(computed=run.computed)
        return cast("R", value)


class _Decorator:
    def __init__(
        self,
        cache: _Cache,
        *,
        query: str | Callable[..., str] | None,
        namespace: str,
        scope: Scope,
        ignore: Sequence[str],
        **options: Any,
    ) -> None:
        self._cache = cache
        self._query = query
        self._namespace = namespace
        self._scope = scope
        self._ignore = ignore
        self._options = options

    def _plan(self, function: Callable[..., Any]) -> _Plan:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function!r} is a generator; memoize a function that returns the whole result")
        binding = Binding(function, query=self._query, ignore=self._ignore, scope=self._scope)
        return _Plan(self._cache, binding, self._namespace, self._options)


class Memoize(_Decorator):
    """What `SemanticCache.memoize` returns: a decorator of functions."""

    def __call__(self, function: Callable[P, R]) -> Memoized[P, R]:
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function; memoize it with an AsyncSemanticCache")
        return Memoized(function, self._plan(function))


class AsyncMemoize(_Decorator):
    """What `AsyncSemanticCache.memoize` returns: a decorator of coroutine functions and of functions."""

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]]) -> AsyncMemoized[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> AsyncMemoized[P, R]: ...

    def __call__(self, function: Callable[P, Any]) -> AsyncMemoized[P, Any]:
        return AsyncMemoized(function, self._plan(function))
