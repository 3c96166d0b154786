"""An answer so long that a server which ends does not wait for it: it breaks off, and whoever reads
it sees that it is not whole.
"""

from __future__ import annotations

import asyncio

from fastapi import Response
from starlette.types import Receive, Scope, Send


class CutOff(Response):
    """Another response, until it is time to end."""

    def __init__(self, whole: Response, ending: asyncio.Event) -> None:
        super().__init__()
        self._whole, self._ending = whole, ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._whole(scope, receive, send))
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait({sending, ending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for each in (sending, ending):
                each.cancel()
            await asyncio.gather(sending, ending, return_exceptions=True)
