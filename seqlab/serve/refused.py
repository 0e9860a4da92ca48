"""The answer to a request that is not served."""

import math

from starlette.exceptions import HTTPException


class Refused(HTTPException):
    """A request that is not served.

    Args:
        status: of HTTP.
        message: what was wrong and what would be right.
        retry_after: seconds after which to come again.
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        headers = {} if retry_after is None else {"retry-after": str(max(1, math.ceil(retry_after)))}
        super().__init__(status, message, headers)
