"""The tool `mcp`: the tools of an MCP server, each as a function `label__tool`.

Their list is told once in a conversation, as an item, and taken from there afterwards. A call that needs the client's
approval becomes a request for it, which ends the response; the approved call runs at the beginning of a later one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET, UnsetType

from antiphon.adapters.mcp.approvals import Approvals
from antiphon.adapters.parts import Parts, Plain
from antiphon.core.approvals import Past
from antiphon.core.effects import Approved, Call, Entry, Offer, Opening, Outcome, Place, Preface
from antiphon.core.forms import ArgumentsError, Stage, Whole, parsed
from antiphon.core.recall import MCP_FAILED, MCP_MATERIAL, flattened
from antiphon.ports.mcp import McpConnector, McpError, McpServer, McpServers
from antiphon.ports.tool import UnservedError
from antiphon.wire import events as ev
from antiphon.wire.codec import encode
from antiphon.wire.errors import AuthenticationError, InvalidRequestError
from antiphon.wire.events import Event
from antiphon.wire.items import Item, ListedTool, McpApprovalRequest, McpCall, McpListTools
from antiphon.wire.tools import McpApproval, McpFilter, McpTool
from antiphon.wire.tools import Tool as ToolConfig

LONGEST: Final = 64 * 1024
"""Bytes of an error's parts that its item shows."""
SPENT: Final = (
    "Not run again: this approval was used in another turn, which is not part of this conversation. What came of the "
    "call is not known here."
)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ODD: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_RESERVED: Final = frozenset(
    "accept connection content-length content-type host last-event-id mcp-protocol-version mcp-session-id te "
    "transfer-encoding upgrade".split()
)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


class Receipt(msgspec.Struct, frozen=True):
    """An `mcp_call` item. `gone`: the call was approved, but its tool is offered no more."""

    label: str
    name: str
    request_id: str | UnsetType = UNSET
    gone: bool = False

    prefix = "mcp_"
    phases = ("in_progress",)

    def opened(self, item_id: str) -> Item:
        """In progress; the arguments follow."""
        return McpCall(
            id=item_id,
            status="in_progress",
            server_label=self.label,
            name=self.name,
            arguments="",
            approval_request_id=self.request_id,
        )

    def closed(self, item_id: str, call: Call, outcome: Outcome | None) -> Item:
        """With its output, or with its error; incomplete where it was never run."""
        item = McpCall(
            id=item_id,
            status="incomplete",
            server_label=self.label,
            name=self.name,
            arguments=call.arguments,
            approval_request_id=self.request_id,
        )
        if outcome is None:
            return item
        if outcome.failed:
            error = outcome.fields.get("error")
            told = cast("dict[str, Any]", error) if isinstance(error, dict) else _said(outcome.output)
            return msgspec.structs.replace(item, status="failed", error=told)
        return msgspec.structs.replace(item, status="completed", output=outcome.output.removeprefix(MCP_MATERIAL))


class _Dictation:
    """The arguments of an `mcp_call`, as they are written."""

    def pieces(self, at: Place, written: Sequence[str], /) -> Sequence[Event]:
        """One delta for each."""
        return [ev.McpCallArgumentsDelta(item_id=at.item_id, output_index=at.index, delta=each) for each in written]

    def whole(self, at: Place, arguments: str, /) -> Sequence[Event]:
        """Their end."""
        return [ev.McpCallArgumentsDone(item_id=at.item_id, output_index=at.index, arguments=arguments)]


DICTATION: Final = _Dictation()


class Mcp:
    """`{"type": "mcp"}`: a server at a URL, or one of the settings by name."""

    types = ("mcp",)
    repeatable = False

    def __init__(
        self, servers: McpServers, connectors: Mapping[str, McpConnector], approvals: Approvals | None = None
    ) -> None:
        self._servers = servers
        self._connectors = connectors
        self._approvals = approvals

    async def offers(self, project: str, config: ToolConfig, place: int, /) -> Sequence[Offer]:
        """The functions alone, as in a conversation that has not begun."""
        return (await self.open(project, config, place, Past())).offers

    async def open(self, project: str, config: ToolConfig, place: int, past: Past, /) -> Opening:
        """The functions; the list, where the context does not have it; and the calls that were approved."""
        assert isinstance(config, McpTool)
        server = self._server(config, place)
        known = _known(past.context, config)
        if known is not None:
            tools = self._allowed(known, config)
            return Opening(_offers(tools, config, place), approved=_approved(past, config, place, tools))
        try:
            listing = await self._servers.tools(project, server)
        except McpError as fault:
            return Opening(
                prefaces=(_unlisted(config, fault),),
                approved=_approved(past, config, place, None),
                refused=_refusal(config, fault, place),
            )
        tools = self._allowed(listing.tools, config)
        words = f"tools[{place}]: the server has more tools than the {len(listing.tools)} that are taken from one."
        return Opening(
            _offers(tools, config, place),
            (_listed(config, tools),),
            _approved(past, config, place, tools),
            warnings=(words,) if listing.left else (),
        )

    async def run(self, project: str, call: Call, config: ToolConfig, /) -> Outcome:
        """Call the server."""
        receipt = call.receipt
        assert isinstance(config, McpTool)
        assert isinstance(receipt, Receipt)
        if receipt.gone:
            return _failed(call, f"Not run: the tool {receipt.name} is not offered any more.")
        try:
            arguments = parsed(call.arguments, _OBJECT)
        except ArgumentsError as error:
            return _failed(call, f"Not run. {error}")
        if not await self._fresh(project, call, receipt):
            return _failed(call, SPENT)
        try:
            server = self._server(config, call.offer.tool)
            given = await self._servers.call(project, server, receipt.name, arguments)
        except McpError as fault:
            await self._refused(project, receipt, fault)
            error = {"type": f"{_KINDS[fault.kind]}", "code": fault.code, "message": fault.message}
            return Outcome(call.call_id, f"The call failed: {fault.message}", {"error": error}, failed=True)
        if not given.failed:
            return Outcome(call.call_id, f"{MCP_MATERIAL}{given.text}")
        told = {"type": "mcp_tool_execution_error", "content": given.content}
        told = told if len(encode(told)) <= LONGEST else _said(given.text[: LONGEST // 4])
        return Outcome(call.call_id, f"{MCP_FAILED}{given.text}", {"error": told}, failed=True)

    async def _fresh(self, project: str, call: Call, receipt: Receipt) -> bool:
        """Whether the call may be made: it needs no approval, or takes that which it has."""
        if self._approvals is None or not isinstance(receipt.request_id, str):
            return True
        return await self._approvals.spend(project, receipt.request_id, call.item_id)

    async def _refused(self, project: str, receipt: Receipt, fault: McpError) -> None:
        """A call that the server did not hear of, for want of credentials say, has not used its approval."""
        if self._approvals is None or not isinstance(receipt.request_id, str):
            return
        if fault.kind == "http" and 400 <= fault.code < 500:
            await self._approvals.give_back(project, receipt.request_id)

    async def close(self) -> None:
        """End the sessions."""
        await self._servers.close()

    def _server(self, config: McpTool, place: int) -> McpServer:
        at = f"tools[{place}]"
        if config.tunnel_id:
            raise UnservedError("MCP servers behind a tunnel are not served here.")
        headers = _headers(config, at)
        if config.server_url:
            if config.connector_id:
                raise _invalid("Give one of 'server_url' and 'connector_id'.", f"{at}.connector_id")
            return McpServer(url=config.server_url, headers=headers)
        named = str(config.connector_id)
        connector = self._connectors.get(named)
        if connector is None:
            raise _invalid(f"There is no MCP server '{named}' in this server's settings.", f"{at}.connector_id")
        server = connector.server
        taken = {name.lower() for name in server.headers}  # the operator's are not the client's to change
        more = {name: value for name, value in headers.items() if name.lower() not in taken}
        return msgspec.structs.replace(server, headers={**server.headers, **more}) if more else server

    def _allowed(self, tools: Sequence[ListedTool], config: McpTool) -> tuple[ListedTool, ...]:
        connector = self._connectors.get(config.connector_id or "")
        wanted = config.allowed_tools
        kept = [tool for tool in tools if not (connector and connector.read_only) or _reads(tool)]
        if isinstance(wanted, McpFilter):
            kept = [tool for tool in kept if (wanted == McpFilter() or _meant(wanted, tool))]
        elif wanted is not None:
            kept = [tool for tool in kept if tool.name in wanted]
        return tuple(kept)


_KINDS: Final = {"http": "http_error", "protocol": "mcp_protocol_error"}


# the list


def _known(context: Sequence[Entry], config: McpTool) -> Sequence[ListedTool] | None:
    """The tools that the context lists for this label; None: the server has to be asked. A list of none is what some
    clients give back in place of the one that they got."""
    for entry in reversed(context):
        item = entry.item
        if isinstance(item, McpListTools) and item.server_label == config.server_label and item.tools:
            names = {tool.name for tool in item.tools}
            return item.tools if names.issuperset(_named(config)) else None
    return None


def _named(config: McpTool) -> Sequence[str]:
    """The tools that are allowed by name."""
    wanted = config.allowed_tools
    return (wanted.tool_names or ()) if isinstance(wanted, McpFilter) else wanted or ()


def _listed(config: McpTool, tools: tuple[ListedTool, ...]) -> Preface:
    opened = McpListTools(server_label=config.server_label)
    return Preface("mcpl_", opened, ("in_progress", "completed"), msgspec.structs.replace(opened, tools=tools))


def _unlisted(config: McpTool, fault: McpError) -> Preface:
    opened = McpListTools(server_label=config.server_label)
    closed = msgspec.structs.replace(opened, error=f"The tools could not be listed. {fault.message}")
    return Preface("mcpl_", opened, ("in_progress", "failed"), closed)


def _refusal(config: McpTool, fault: McpError, place: int) -> AuthenticationError | None:
    if fault.kind != "http" or fault.code != 401:
        return None
    words = f"The MCP server '{config.server_label}' asks for other credentials: {fault.message}"
    return AuthenticationError(words, param=f"tools[{place}]", code="mcp_unauthorized")


# what is offered


def _offers(tools: Sequence[ListedTool], config: McpTool, place: int) -> tuple[Offer, ...]:
    return tuple(_offer(tool, config, place) for tool in tools)


def _offer(tool: ListedTool, config: McpTool, place: int) -> Offer:
    asking = _asking(tool, config)
    request = _request(config.server_label, tool.name)
    described = [tool.description or "", config.server_description or ""]
    return Offer(
        name=flattened(config.server_label, tool.name),
        description="\n\n".join(filter(None, described)) or None,
        parameters=tool.input_schema,
        tool=place,
        receipt=None if asking else Receipt(config.server_label, tool.name),
        form=request if asking else None,
        dictation=None if asking else DICTATION,
        member=tool.name,
        server=config.server_label,
        deferred=config.defer_loading is True,
        writes=not _reads(tool) or (tool.annotations or {}).get("openWorldHint") is True,
        approval=request,
    )


def _asking(tool: ListedTool, config: McpTool) -> bool:
    """Whether a call needs the client's approval; what is not said does."""
    wanted = config.require_approval
    if not isinstance(wanted, McpApproval):
        return wanted == "always"
    if wanted.always is not UNSET and _meant(wanted.always, tool):
        return True
    return wanted.never is UNSET or not _meant(wanted.never, tool)


def _meant(wanted: McpFilter, tool: ListedTool) -> bool:
    """Whether a filter means this tool; one that says nothing means none."""
    if wanted.tool_names is not UNSET and tool.name not in wanted.tool_names:
        return False
    if wanted.read_only is not UNSET and wanted.read_only is not _reads(tool):
        return False
    return wanted != McpFilter()


def _reads(tool: ListedTool) -> bool:
    """Whether the tool says that it changes nothing."""
    return bool(tool.annotations) and tool.annotations.get("readOnlyHint") is True


def _request(label: str, name: str) -> Whole[str]:
    """The form of a call that needs approval."""

    def read(arguments: str) -> str:
        parsed(arguments, _OBJECT)
        return arguments or "{}"

    def item(at: Place, arguments: str, stage: Stage) -> Item:
        del stage
        return McpApprovalRequest(id=at.item_id, server_label=label, name=name, arguments=arguments)

    return Whole("mcpr_", read, item)


def _approved(past: Past, config: McpTool, place: int, tools: Sequence[ListedTool] | None) -> tuple[Approved, ...]:
    """The approved calls of this server; `tools` None: nobody knows what it offers."""
    found: list[Approved] = []
    for request in past.approved:
        if request.server_label != config.server_label or not request.id:
            continue
        gone = tools is not None and all(tool.name != request.name for tool in tools)
        receipt = Receipt(request.server_label, request.name, request.id, gone)
        name = flattened(request.server_label, request.name)
        offer = Offer(name, tool=place, receipt=receipt, dictation=DICTATION, server=request.server_label)
        found.append(Approved(request.id, request.arguments or "{}", offer))
    return tuple(found)


# the request


def _headers(config: McpTool, at: str) -> dict[str, str]:
    """The headers of this declaration, its token among them."""
    headers = dict(config.headers or {})
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or _ODD.search(value) or name.lower() in _RESERVED:
            raise _invalid(f"The header '{name[:64]}' cannot be sent.", f"{at}.headers")
    if config.authorization:
        if any(name.lower() == "authorization" for name in headers):
            raise _invalid("Give one of 'authorization' and the header 'Authorization'.", f"{at}.authorization")
        if _ODD.search(config.authorization):
            raise _invalid("The token cannot be sent in a header.", f"{at}.authorization")
        headers["Authorization"] = f"Bearer {config.authorization.removeprefix('Bearer ')}"
    return headers


def _invalid(words: str, param: str) -> InvalidRequestError:
    return InvalidRequestError(words, param=param, code="invalid_value")


def _failed(call: Call, words: str) -> Outcome:
    return Outcome(call.call_id, words, {"error": _said(words)}, failed=True)


def _said(words: str) -> dict[str, Any]:
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": words}]}


def make(config: Plain, parts: Parts) -> Mcp | None:
    """Served where there are sessions."""
    del config
    if parts.mcp is None:
        return None
    approvals = None if parts.keys is None else Approvals(parts.keys, parts.clock)
    return Mcp(parts.mcp, parts.connectors, approvals)
