"""What an upstream refused, in our words: HTTP status and error body become one of the errors of `wire.errors`.

Its own words pass on only where the client can act on them (its request was wrong), and then without addresses and
keys. Nothing else of its answer reaches a client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from antiphon.wire.errors import (
    AntiphonError,
    InvalidRequestError,
    ModelError,
    ModelTimeoutError,
    NotFoundError,
    RateLimitError,
)

MAX_WORDS: Final = 500
_ADDRESS: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_KEY: Final = re.compile(r"\b(?:bearer\s+\S+|(?:sk|pk|gsk|hf|xai|key)[-_][\w-]{8,}\S*)", re.IGNORECASE)
_CODE: Final = re.compile(r"[a-z][a-z0-9_.]{1,63}")
_TOO_LONG: Final = re.compile(
    r"context (?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens|input is too long",
    re.IGNORECASE,
)
_TOO_LONG_CODES: Final = {"context_length_exceeded", "exceed_context_size_error"}
_STATUSES: Final = {
    "rate_limit_exceeded": 429,
    "too_many_requests": 429,
    "insufficient_quota": 429,
    "invalid_request_error": 400,
    "invalid_request": 400,
    "invalid_prompt": 400,
    "invalid_encrypted_content": 400,
    "bio_policy": 400,
}
_WRONG_REQUEST: Final = {400, 413, 422}
_DENIED: Final = {401, 403}
_TIMED_OUT: Final = {408, 504, 524}


class Refusal(msgspec.Struct, frozen=True):
    """One refusal: the endpoint's name, the model asked for, the HTTP status, the error body and `Retry-After`.

    `secrets` are struck out of whatever is passed on.
    """

    endpoint: str
    model: str
    status: int
    body: bytes = b""
    retry_after: float | None = None
    secrets: Sequence[str] = ()
    input: str = "messages"
    """What the request calls that which may be too long."""

    def error(self) -> AntiphonError:
        """The error that the client is told; `param` is a name of the chat completions API."""
        report = _report(self.body)
        status = self.status
        if report.code in _TOO_LONG_CODES or (status in _WRONG_REQUEST and _TOO_LONG.search(report.message)):
            words = report.message or "The input is longer than the model's context."
            return InvalidRequestError(self._cleaned(words), param=self.input, code="context_length_exceeded")
        if status in _WRONG_REQUEST:
            words = self._cleaned(report.message) or f"The model `{self.model}` did not accept the request."
            return InvalidRequestError(words, param=report.param, code=report.code)
        if status == 404:
            words = f"The model `{self.model}` does not exist or you do not have access to it."
            return NotFoundError(words, param="model", code="model_not_found")
        if status == 429:
            words = f"The model endpoint '{self.endpoint}' is rate limited. Try again later."
            code = "insufficient_quota" if report.code == "insufficient_quota" else None
            return RateLimitError(words, code=code, retry_after=self.retry_after)
        if status in _TIMED_OUT:
            return ModelTimeoutError(f"The model endpoint '{self.endpoint}' timed out.")
        if status in _DENIED:
            return ModelError(f"The model endpoint '{self.endpoint}' did not accept this server's credentials.")
        return ModelError(f"The model endpoint '{self.endpoint}' failed with status {status}.")

    def _cleaned(self, words: str) -> str:
        for secret in self.secrets:
            words = words.replace(secret, "(removed)")
        words = _KEY.sub("(removed)", _ADDRESS.sub("(removed)", words))
        words = "".join(character if character.isprintable() else " " for character in words)
        return words if len(words) <= MAX_WORDS else words[: MAX_WORDS - 1] + "…"


def reported(refusal: Refusal, report: object) -> AntiphonError:
    """The error for an error object inside a 200 answer; a numeric code counts as the status, a word for the one that
    it would have had."""
    fields = cast("dict[str, Any]", report) if isinstance(report, dict) else {}
    code = fields.get("code")
    if isinstance(code, int):
        status = code if 400 <= code < 600 else 500
    else:
        status = _status(code) or _status(fields.get("type")) or 500
    body = msgspec.json.encode({"error": report})
    error = msgspec.structs.replace(refusal, status=status, body=body).error()
    if isinstance(error, ModelError):
        return type(error)(f"The model endpoint '{refusal.endpoint}' reported an error while it answered.")
    return error


def _status(word: object) -> int | None:
    """The status that goes with an error's code or type; None: the word tells none."""
    if not isinstance(word, str):
        return None
    return 400 if "image" in word else _STATUSES.get(word)


class _Report(msgspec.Struct):
    message: str = ""
    code: str | None = None
    param: str | None = None


def _report(body: bytes) -> _Report:
    """What an error body says, in any of the shapes that servers use."""
    try:
        found: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Report()  # HTML of a proxy, or nothing
    if not isinstance(found, dict):
        return _Report()
    fields = cast("dict[str, Any]", found)
    inner = fields.get("error", fields)
    if isinstance(inner, str):
        return _Report(inner)
    if not isinstance(inner, dict):
        return _Report()
    fields = cast("dict[str, Any]", inner)
    message = fields.get("message", fields.get("detail"))
    code, kind, param = fields.get("code"), fields.get("type"), fields.get("param")
    if not isinstance(code, str):
        code = kind if kind in _TOO_LONG_CODES else None
    return _Report(
        message if isinstance(message, str) else "",
        code if code and _CODE.fullmatch(code) else None,
        param if isinstance(param, str) and len(param) <= 100 else None,
    )
