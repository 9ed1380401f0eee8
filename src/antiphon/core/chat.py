"""A generation as the body of a chat completion request (wire checklist E.1).

What the client did not ask for is not sent: many servers refuse what they do not know.
"""

from __future__ import annotations

from typing import Any

from antiphon.core.context import chat_messages
from antiphon.core.dialect import Dialect
from antiphon.core.dictation import dictated
from antiphon.core.effects import Generate, Offer
from antiphon.core.sampling import passed
from antiphon.wire.responses import JsonObjectFormat, JsonSchemaFormat, TextConfig
from antiphon.wire.tools import AllowedTools, NamedChoice, ToolChoice

LOGPROBS = "message.output_text.logprobs"


def chat_body(wanted: Generate, dialect: Dialect) -> dict[str, Any]:
    """The JSON object to POST to `/chat/completions`; always a stream that ends with its usage.

    `tool_choice` auto and `parallel_tool_calls` true are every server's default, and some models refuse to be told:
    only other values are sent. The offers and the choice among them are those of `core.choice.chosen`.
    """
    request = wanted.request
    offers = wanted.offers
    guided = dictated(wanted, dialect)
    logprobs = LOGPROBS in request.include or bool(request.top_logprobs)
    reasoning = request.reasoning
    optional: dict[str, Any] = {
        "tools": [_tool(offer) for offer in offers] or None,
        "tool_choice": ("none" if guided else _choice(wanted.tool_choice)) if offers else None,
        "parallel_tool_calls": False if offers and not request.parallel_tool_calls else None,
        "response_format": None if guided else _format(request.text),
        "structured_outputs": _structured(guided),
        "verbosity": None if request.text.verbosity == "medium" else request.text.verbosity,
        "reasoning_effort": None if reasoning is None else reasoning.effort,
        dialect.max_tokens_field: wanted.max_output_tokens,
        "logprobs": True if logprobs else None,
        **passed(request),
    }
    body: dict[str, Any] = {"model": wanted.model, "messages": chat_messages(wanted, dialect)}
    body.update((name, value) for name, value in optional.items() if value is not None)
    body["stream"] = True
    body["stream_options"] = {"include_usage": True}
    return body


def _tool(offer: Offer) -> dict[str, Any]:
    function: dict[str, Any] = {"name": offer.name}
    if offer.description is not None:
        function["description"] = offer.description
    function["parameters"] = offer.parameters or {"type": "object", "properties": {}}
    if offer.strict is not None:
        function["strict"] = offer.strict
    return {"type": "function", "function": function}


def _structured(guided: Offer | None) -> dict[str, Any] | None:
    """The grammar as vLLM takes it. The answer is then the tool's input as plain text (`core.dictation`)."""
    if guided is None or guided.grammar is None:
        return None
    return {"regex" if guided.grammar.syntax == "regex" else "grammar": guided.grammar.definition}


def _choice(choice: ToolChoice) -> Any:
    if isinstance(choice, NamedChoice):
        return {"type": "function", "function": {"name": choice.name}}
    if isinstance(choice, AllowedTools):
        choice = choice.mode  # the offers are already no others
    return None if choice == "auto" else choice


def _format(text: TextConfig) -> dict[str, Any] | None:
    wanted = text.format
    if isinstance(wanted, JsonObjectFormat):
        return {"type": "json_object"}
    if not isinstance(wanted, JsonSchemaFormat):
        return None
    schema: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}
