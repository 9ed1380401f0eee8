"""Settings of the tools that the server runs, and of what they reach."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from antiphon.settings.values import Chosen, Names, Section, document


class WebSearch(Chosen):
    """The backend of the `web_search` tool; the tool is served when any of these keys is set."""

    kind: str = Field(default="tavily", description="`brave`, `searxng`, `tavily`, or a dotted module name.")
    url: str | None = Field(default=None, description="URL of the backend; default: the kind's own.")
    key: SecretStr | None = Field(default=None, description="Key for the backend.")


class Pages(Section):
    """Pages that a model opens with `web_search`, through the egress door."""

    open: Literal["listed", "any", "none"] = Field(
        default="listed",
        description="`listed`: pages that the conversation names (the user, a search, another page); `any`: also those "
        "that the model thinks of, which can carry what it knows to anybody; `none`: a search is all it gets.",
    )
    max_mb: int = Field(default=50, ge=1, le=256, description="Largest page, MB.")
    seconds: float = Field(default=20, gt=0, le=600, description="Seconds that a page may take.")
    cache_seconds: float = Field(default=300, ge=0, description="Seconds for which a page is not fetched again.")


class Tooling(Section):
    """Tools of others."""

    modules: Names = Field(default=(), description="Dotted names of modules that serve further types of tools.")
    options: Annotated[dict[str, dict[str, object]], BeforeValidator(document)] = Field(
        default={}, description="Their own keys, by the name of the module.", json_schema_extra={"shown": "none"}
    )
    untrusted: Literal["mark", "approve"] = Field(
        default="mark",
        description="What web pages, files and MCP results change: they are marked as material for the model, or a "
        "response that has read any also needs approval for calls that write, and opens no page of a new host.",
    )


class McpEntry(Section):
    """An MCP server that requests name by `connector_id`: at a URL, or started here by a command."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="What requests call it.")
    url: str | None = Field(default=None, description="Its URL, which need not be public.")
    command: tuple[str, ...] = Field(default=(), description="The program and its arguments, in place of a URL.")
    headers: dict[str, SecretStr] = Field(default={}, description="Headers for every request to it.")
    env: dict[str, SecretStr] = Field(default={}, description="Variables for its command.")
    read_only: bool = Field(default=False, description="Offer only tools that say that they change nothing.")

    @model_validator(mode="after")
    def _one_of_both(self) -> McpEntry:
        if bool(self.url) == bool(self.command):
            raise ValueError("one of `url` and `command` is needed")
        return self


class Sessions(Section):
    """Sessions with MCP servers, which are kept from request to request."""

    connect: float = Field(default=30, gt=0, description="Seconds for the handshake, and again for the list.")
    call: float = Field(default=300, gt=0, description="Seconds that a call may take.")
    idle: float = Field(default=300, gt=0, description="Seconds after which a session ends that nobody uses.")
    listing: float = Field(
        default=300, ge=0, description="Seconds that a list of tools is kept where the server tells of no change."
    )


class Egress(Section):
    """Where the server goes when a request tells it to: files by URL, MCP servers, pages. Addresses that are not public
    are refused."""

    allow: Names = Field(
        default=(),
        description="Host names (`*.domain` is all below it), addresses and networks that may be reached although they "
        "are not public.",
    )
    deny: Names = Field(
        default=(), description="Host names, addresses and networks that are refused, also where `allow` lists them."
    )
