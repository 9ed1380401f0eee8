"""What MCP servers give, in our words."""

from __future__ import annotations

import json
from typing import Any

from mcp.types import (
    AudioContent,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)
from msgspec import UNSET

from antiphon.ports.mcp import McpResult
from antiphon.wire.items import ListedTool


def listed(tool: Tool) -> ListedTool:
    """The tool as its item shows it."""
    notes: dict[str, Any] = {}
    if tool.annotations is not None:
        notes = tool.annotations.model_dump(by_alias=True, exclude_none=True, mode="json")
    return ListedTool(
        name=tool.name,
        description=tool.description or UNSET,
        input_schema=tool.input_schema,
        annotations=notes or UNSET,
    )


def result(given: CallToolResult) -> McpResult:
    """All parts in words; a structured result where there are none."""
    texts = [_words(block) for block in given.content]
    if not texts and given.structured_content is not None:
        texts = [json.dumps(given.structured_content, ensure_ascii=False)]
    content = tuple(block.model_dump(by_alias=True, exclude_none=True, mode="json") for block in given.content)
    return McpResult("\n".join(texts), content if given.is_error else (), given.is_error)


def _words(block: ContentBlock) -> str:
    """A part in words: what is no text is named, with its type and size."""
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type} {block.mime_type}, {len(block.data) * 3 // 4} bytes, not shown]"
        case ResourceLink():
            return f"[resource {block.name} {block.mime_type or ''} at {block.uri}]"
        case EmbeddedResource(resource=TextResourceContents() as resource):
            return f"[resource {resource.uri}]\n{resource.text}"
        case EmbeddedResource():
            return f"[resource {block.resource.uri} {block.resource.mime_type or ''}, not shown]"
