"""Making the table, for who asks for it."""

from __future__ import annotations

import contextlib

from mneme.errors import StoreBackendError
from mneme.stores._dynamodb_requests import Requests, TableMissingError
from mneme.stores._dynamodb_statements import Layout

__all__ = ["make_table"]


async def make_table(requests: Requests, layout: Layout) -> None:
    """Make the table if there is none, and wait until it can be used. Two who do this at once get one table."""
    patience = requests.patience()
    asked = False
    while True:
        try:
            answer = await requests.call("describe_table", {"TableName": layout.table})
        except TableMissingError as error:
            if not asked:
                # Refused if another is making it: then it is there soon.
                with contextlib.suppress(StoreBackendError):
                    await requests.call("create_table", layout.create_table())
                asked = True
            else:
                await patience.pause(error)
            continue
        if answer["Table"]["TableStatus"] in {"ACTIVE", "UPDATING"}:
            return
        await patience.pause(f"the table {layout.table!r} is {answer['Table']['TableStatus']}")
