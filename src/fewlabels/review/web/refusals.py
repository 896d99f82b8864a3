"""What the review page is told when a request is not carried out."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request that is not carried out.

    status: of HTTP. code: the case in docs/errors.md, such as "W9". more: further keys of the JSON body.
    """

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": {"code": f"FL-{self.code}", "message": self.message}, **self.more}
