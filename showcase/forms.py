"""What a form sent, read and checked. Everything in it is a stranger's."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

from showcase.work.inputs import BadInputError, checked_text

__all__ = ["BadInputError", "Form", "read", "read_query"]

MOST_BYTES = 256 * 1024


class Form:
    """The fields of a form, or of a query string."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return self._fields.get(name, [])

    def text(self, name: str, *, most: int = 2000, default: str | None = None) -> str:
        """A text that is not blank, of at most so many characters, without white space around it.

        Raises:
            BadInputError: It is missing and there is no default, or too long.
        """
        text = next(iter(self.all(name)), "").replace("\r\n", "\n")
        if default is not None and not text.strip():
            return default
        return checked_text(text, f"the {name}", most)

    def number(self, name: str, least: float, most: float, *, default: float | None = None) -> float:
        """A number in a range.

        Raises:
            BadInputError: It is missing and there is no default, no number, or outside the range.
        """
        text = self.text(name, most=40, default="" if default is not None else None)
        if not text and default is not None:
            return default
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise BadInputError(f"the {name} must be a number from {least:g} to {most:g}, and was {text!r}")
        return number

    def whole(self, name: str, least: int, most: int, *, default: int | None = None) -> int:
        """A whole number in a range.

        Raises: as `number`.
        """
        number = self.number(name, least, most, default=default)
        if number != int(number):
            raise BadInputError(f"the {name} must be a whole number, and was {number:g}")
        return int(number)

    def choice(self, name: str, choices: Collection[str], *, default: str | None = None) -> str:
        """One of *choices*.

        Raises:
            BadInputError: It is missing and there is no default, or it is another.
        """
        text = self.text(name, most=200, default=default)
        if text not in choices:
            raise BadInputError(f"the {name} must be one of {', '.join(choices)}, and was {text!r}")
        return text


async def read(request: Request) -> Form:
    """The form in the body of a request.

    Raises:
        HTTPException: 413, it is too large.
        BadInputError: It is no form.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"That is too much: a form may have {MOST_BYTES // 1024} KB.")
    return _parsed(bytes(body))


def read_query(request: Request) -> Form:
    """The query string of a request.

    Raises:
        BadInputError: It is none.
    """
    return _parsed(request.url.query.encode())


def _parsed(data: bytes) -> Form:
    try:
        return Form(parse_qs(data.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000))
    except (UnicodeDecodeError, ValueError) as error:
        raise BadInputError("this is no form: it must be urlencoded UTF-8") from error
