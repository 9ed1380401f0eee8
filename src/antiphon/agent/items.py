"""What items mean to an agent: whose a tool call is, what came of it, and how a call is answered.

Law: an item's `type` tells what it is, never a name in it. What is not known is looked at as little as possible.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from antiphon.agent.events import Approval, ToolCall, ToolResponse
from antiphon.agent.fields import Json, field, mapped, text

CLIENT: Final = {
    "function_call": "function",
    "custom_tool_call": "custom",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
}
"""Calls that the client answers, and their tool types. (A computer call is answered with a picture, by the program.)"""
APPROVAL: Final = "mcp_approval_request"
ABANDONED: Final = "Not run: the turn ended before this call was answered."
_RUN: Final = {"local_shell": "action", "shell": "action", "apply_patch": "operation", "custom": "input"}
"""Where the arguments stand that are not in `arguments`."""
_OWN: Final = frozenset({"id", "type", "status", "name", "arguments", "server_label", "call_id", "created_by"})


def is_server_tool(kind: str) -> bool:
    """Whether items of this type are work that the server does itself."""
    return kind not in CLIENT and (kind.endswith("_call") or kind == "mcp_list_tools")


def tool_type(kind: str) -> str:
    """The tool type of a call's item type."""
    if kind in CLIENT:
        return CLIENT[kind]
    return kind if kind == "mcp_call" else kind.removesuffix("_call")


def call_of(item: object) -> ToolCall:
    """The call that the item is, of the client or of the server."""
    kind = text(item, "type")
    name = text(item, "name")
    if kind in CLIENT:
        name = name or CLIENT[kind]
    return ToolCall(
        call_id=text(item, "call_id") or text(item, "id"),
        tool_name=name or kind,
        arguments=_arguments(item, tool_type(kind)),
        tool_type=tool_type(kind),
    )


def _arguments(item: object, kind: str) -> str:
    found = field(item, _RUN.get(kind, "arguments"))
    if found is None and kind not in _RUN.keys() | {"function", "mcp_call"}:
        asked = {name: field(item, name) for name in ("queries", "action", "code")}
        found = {name: value for name, value in asked.items() if value}
    if not isinstance(found, str):
        found = json.dumps(mapped(found), ensure_ascii=False)
    return found if found or kind == "custom" else "{}"


def result_of(item: object) -> ToolResponse:
    """What came of a call that the server made: what its item shows beside the call itself; of an MCP call the output,
    or its error."""
    call = call_of(item)
    error = field(item, "error")
    failed = error is not None or text(item, "status") in {"failed", "incomplete"}
    content: Any = {name: value for name, value in mapped(item).items() if name not in _OWN and value is not None}
    if call.tool_type == "mcp_call":
        content = mapped(error) or error if error is not None else text(item, "output")
    label = text(item, "server_label")
    return ToolResponse(
        call_id=call.call_id,
        tool_name=call.tool_name,
        content=content,
        is_error=failed,
        metadata={"server_label": label} if label else {},
    )


def approval_of(item: object) -> Approval:
    """The approval that the item asks for."""
    return Approval(text(item, "id"), text(item, "server_label"), text(item, "name"), text(item, "arguments") or "{}")


# answers


def answer(call: ToolCall, content: str = ABANDONED, *, failed: bool = True) -> Json:
    """The item that answers a call of the client."""
    return _ANSWERS.get(call.tool_type, _function)(call.call_id, content, failed)


def decision(approval_id: str, verdict: bool | str) -> Json:
    """The item that answers an approval request: True, False, or the reason of a denial."""
    item: Json = {"type": "mcp_approval_response", "approval_request_id": approval_id, "approve": verdict is True}
    return {**item, "reason": verdict} if isinstance(verdict, str) else item


def _function(call_id: str, content: str, _failed: bool) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": content}


def _custom(call_id: str, content: str, _failed: bool) -> Json:
    return {"type": "custom_tool_call_output", "call_id": call_id, "output": content}


def _local_shell(call_id: str, content: str, _failed: bool) -> Json:
    return {"type": "local_shell_call_output", "id": call_id, "call_id": call_id, "output": content}


def _shell(call_id: str, content: str, failed: bool) -> Json:
    outcome = {"type": "exit", "exit_code": int(failed)}
    said = {"stdout": "" if failed else content, "stderr": content if failed else "", "outcome": outcome}
    return {"type": "shell_call_output", "call_id": call_id, "output": [said]}


def _apply_patch(call_id: str, content: str, failed: bool) -> Json:
    status = "failed" if failed else "completed"
    return {"type": "apply_patch_call_output", "call_id": call_id, "status": status, "output": content}


_ANSWERS: Final[dict[str, Callable[[str, str, bool], Json]]] = {
    "function": _function,
    "custom": _custom,
    "local_shell": _local_shell,
    "shell": _shell,
    "apply_patch": _apply_patch,
}


def answered_by(item: object) -> str:
    """The id of the call or approval request that the item answers; "" when it answers none."""
    kind = text(item, "type")
    if kind == "mcp_approval_response":
        return text(item, "approval_request_id")
    return (text(item, "call_id") or text(item, "id")) if kind.endswith("_output") else ""


def unanswered(items: Iterable[object]) -> dict[str, Json]:
    """What the items leave open, in their order: by the ids of calls and approval requests, the answers that say that
    nothing was done."""
    every = list(items)
    answered = {answered_by(item) for item in every} | {text(item, "approval_request_id") for item in every}
    found: dict[str, Json] = {}
    for item in every:
        kind = text(item, "type")
        if kind in CLIENT and (call := call_of(item)).call_id not in answered:
            found[call.call_id] = answer(call)
        elif kind == APPROVAL and text(item, "id") not in answered:
            found[text(item, "id")] = decision(text(item, "id"), ABANDONED)
    return found
