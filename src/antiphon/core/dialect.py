"""How one endpoint differs from OpenAI's: plain switches, no behaviour."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

SendReasoning: TypeAlias = Literal["drop", "last_turn", "always"]


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
    think_tags: bool = False
    """An answer that begins with `<think>` has its reasoning there, up to `</think>`, because nothing upstream takes it
    out."""
    files: Literal["text", "native"] = "text"
    """How files reach the model: as their text, or as `file` parts, which OpenAI reads itself."""
    grammar: Literal["prompt", "structured_outputs"] = "prompt"
    """How the grammar of a custom tool reaches the model: in the tool's description, or, when that tool is forced, also
    as `structured_outputs` of vLLM, which holds the model to it (`lark` needs its guidance backend)."""


class NativeDialect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The switches of an endpoint that speaks Responses; the defaults suit OpenAI."""

    encrypted_reasoning: bool = True
    """Ask for reasoning in its encrypted form and send that back to the same endpoint, so that the model goes on from
    what it thought. A model that refuses to be asked is not asked again; what the endpoint cannot read is left out."""
    send_reasoning: Literal["drop", "last_turn", "always"] = "drop"
    """Which reasoning that has no encrypted form is sent back as text: none, that since the last user message, all."""
    keep_ids: bool = False
    """What the model said is sent back with ids and statuses, as servers with strict types want it. OpenAI looks such
    ids up and finds nothing, because nothing is stored there."""
    developer_role: bool = True
    """The endpoint knows the role `developer`; otherwise such messages are sent as `system`."""
    files: Literal["text", "native"] = "native"
    """How files reach the model: as their text, or as `input_file` parts."""
    custom_tools: bool = True
    """Custom tools are offered as what they are; otherwise as functions that take one text."""
