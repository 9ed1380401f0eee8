"""Request parameters that every kind of upstream takes under the same name."""

from __future__ import annotations

from typing import Any

from antiphon.wire.responses import CreateResponse


def passed(request: CreateResponse) -> dict[str, Any]:
    """Them by name; None where the client set nothing."""
    return {
        "top_logprobs": request.top_logprobs or None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "user": request.user,
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        "service_tier": request.service_tier,
    }
