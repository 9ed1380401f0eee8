"""What an agent and a turn can be told. Other parameters of `responses.create` go through as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Required, TypeAlias, TypedDict

from antiphon.agent.continuity import Continuity
from antiphon.agent.events import Approval
from antiphon.agent.hooks import AgentHooks

Verdict: TypeAlias = bool | str | None
"""What is said to an approval: yes, no, the reason of a denial, or None: the turn rests until somebody knows."""
Approve: TypeAlias = Callable[[Approval], Verdict | Awaitable[Verdict]]


class Options(TypedDict, total=False):
    """Options of a turn, which an agent may have for all of its turns.

    `output_type`: the final text is parsed into this type. `max_steps`: how many responses a turn may take.
    `usage_limit`: tokens after which no further request is sent. `timeout`: seconds for the whole turn. The others are
    parameters of a response.
    """

    output_type: Any
    max_steps: int
    usage_limit: int | None
    timeout: float | None
    instructions: str
    tools: Sequence[Any]
    background: bool
    extra_body: Any
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    include: Sequence[str]
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Mapping[str, str] | None
    parallel_tool_calls: bool
    prompt: Any
    prompt_cache_key: str
    reasoning: Any
    safety_identifier: str
    service_tier: str | None
    store: bool
    stream_options: Any
    temperature: float | None
    text: Any
    tool_choice: Any
    top_logprobs: int | None
    top_p: float | None
    truncation: str | None
    user: str


class TurnOptions(Options, total=False):
    """Options of a turn; those of the agent are meant where it has none."""

    model: str


class AgentOptions(Options, total=False):
    """Options of an agent.

    `tools`: dicts (sent as they are), functions and ClientTool objects. `continuity`: what joins the turns of a
    session. `strict`: the schemas of functions are strict. `tool_timeout`: seconds for a call of a client tool.
    `parallel_tools`: how many of them run at a time. `collapse_empty_steps`: inference steps in which nothing was said
    are left out. `approve`: who is asked about calls that need approval. `retries`: how often a request that failed is
    sent again.
    """

    model: Required[str]
    continuity: Continuity
    strict: bool
    tool_timeout: float | None
    parallel_tools: int
    collapse_empty_steps: bool
    approve: Approve | None
    hooks: AgentHooks | None
    retries: int
