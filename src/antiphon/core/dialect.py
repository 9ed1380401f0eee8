"""How one endpoint's chat completions differ from OpenAI's: plain switches, no behaviour."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Dialect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The switches of one endpoint; the defaults suit OpenAI and most servers that imitate it."""

    developer_role: bool = True
    """The endpoint knows the role `developer`; otherwise such messages are sent as `system`."""
    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    """The name under which reasoning is sent back in assistant messages. Both names are read."""
    send_reasoning: Literal["drop", "last_turn", "always"] = "drop"
    """Which reasoning is sent back: none, that since the last user message, all."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """The name of the limit on generated tokens."""
    merge_system: bool = False
    """All system and developer messages at the start become one, for templates that allow a single one."""
    plain_text: bool = True
    """A content of one text part is sent as a plain string."""
