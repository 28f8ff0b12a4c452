"""What of a call is the query and what is the scope."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from mneme._rules.codec import check_json
from mneme._rules.keys import Scope


class Binding:
    """How the calls of one function become requests.

    Raises:
        TypeError: *query* or *ignore* name no argument of the function, or nothing tells its entries from those of
            others: it has no name, and there is no *scope*.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        query: str | Callable[..., str] | None,
        ignore: Sequence[str],
        scope: Scope,
    ) -> None:
        if isinstance(ignore, str):
            raise TypeError(f"ignore must be a collection of argument names, like ({ignore!r},)")
        self._signature = inspect.signature(function)
        self.name: str = _name_of(function, scope)
        self._query = query
        self._ignore = frozenset(ignore)
        self._scope = scope
        named = {query} if isinstance(query, str) else set()
        if unknown := (named | self._ignore) - set(self._signature.parameters):
            raise TypeError(f"{self.name} has no argument {min(unknown)!r}")
        if isinstance(scope, str):
            self._base: dict[str, Any] = {"scope": scope}
        else:
            self._base = {} if scope is None else {"scope": dict(scope)}

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The query and the scope of one call.

        Raises:
            TypeError: The arguments do not fit the function, none is the query, or one is not a JSON value.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = {name: value for name, value in bound.arguments.items() if name not in self._ignore}
        if callable(self._query):
            text = self._query(*args, **kwargs)
        else:
            name = self._query if self._query is not None else self._first_text(arguments)
            text = arguments.pop(name)
        for name, value in arguments.items():
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                arguments[name] = list(value)
            try:
                check_json(arguments[name], name)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"argument {name!r} of {self.name} cannot join the scope ({error}); "
                    f"if it does not change the result, pass ignore=({name!r},)"
                ) from error
        return text, {**self._base, "function": self.name, "arguments": arguments}

    def _first_text(self, arguments: dict[str, Any]) -> str:
        for name, value in arguments.items():
            if isinstance(value, str):
                return name
        raise TypeError(f"no argument of this call of {self.name} is a string; say which is the query with query=")


def _name_of(function: Callable[..., Any], scope: Scope) -> str:
    """What the entries of a function are known by, in this process and the next."""
    name = getattr(function, "__qualname__", None)
    if name is not None and not name.endswith("<lambda>"):
        return f"{function.__module__}.{name}"
    if scope is None:
        raise TypeError(
            f"{function!r} has no name that tells its results from others'; define it with def, or pass scope="
        )
    return f"{function.__module__}.{type(function).__qualname__ if name is None else name}"
