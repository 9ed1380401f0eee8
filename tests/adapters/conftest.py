"""A client of the upstream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from antiphon.adapters.models.openai_chat import ChatEndpoint, OpenAIChat
from antiphon.adapters.upstream import Retries
from tests.adapters.asking import KEY, Connect
from tests.upstream import Upstream


@pytest.fixture
async def connect(upstream: Upstream) -> AsyncGenerator[Connect]:
    """Makes models over the upstream; settings may be given."""
    made: list[OpenAIChat] = []

    def connect(**settings: Any) -> OpenAIChat:
        settings = {"base_url": upstream.url, "api_key": KEY, "retries": Retries(backoff=0.001), **settings}
        made.append(OpenAIChat("local", ChatEndpoint(**settings)))
        return made[-1]

    yield connect
    for model in made:
        await model.close()
