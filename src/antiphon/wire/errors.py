"""Errors. Each class knows its wire form (law 10); `body` renders them all, keys always all four."""

from __future__ import annotations

from typing import ClassVar

from antiphon.wire.codec import encode


class AntiphonError(Exception):
    """Something a client is told. The message is for the client: no paths, keys, or other projects' ids."""

    http_status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = "server_error"
    fatal: ClassVar[bool] = False
    """Whether a tool that meets it ends the run, instead of telling the model."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else self.default_code
        self.retry_after = retry_after
        """Seconds after which the client may try again; sent as `Retry-After`."""

    def body(self) -> bytes:
        """`{"error": {message, type, param, code}}`."""
        fields = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return encode({"error": fields})


class InvalidRequestError(AntiphonError):
    """The request is wrong; `param` says where."""

    http_status, type, default_code = 400, "invalid_request_error", None


class AuthenticationError(AntiphonError):
    """No key, or a wrong one."""

    http_status, type, default_code = 401, "invalid_request_error", "invalid_api_key"


class NotFoundError(AntiphonError):
    """No such object for this project."""

    http_status, type, default_code = 404, "invalid_request_error", None


class MethodNotAllowedError(AntiphonError):
    """The path exists, the method does not."""

    http_status, type, default_code = 405, "invalid_request_error", "method_not_allowed"


class TooLargeError(AntiphonError):
    """The body is larger than the settings allow."""

    http_status, type, default_code = 413, "invalid_request_error", "request_too_large"


class RateLimitError(AntiphonError):
    """Too many requests, here or upstream."""

    http_status, type, default_code = 429, "requests", "rate_limit_exceeded"


class ServerError(AntiphonError):
    """Our own fault."""


class ModelError(AntiphonError):
    """The model's endpoint refused, failed or broke off; never carries its body or its key."""

    http_status = 502


class ModelTimeoutError(ModelError):
    """The model's endpoint was silent for too long."""

    http_status = 504


class OverloadedError(AntiphonError):
    """No room for another run at the moment."""

    http_status = 503


class StoreError(AntiphonError):
    """The store did not take or give what was asked."""

    http_status = 503
