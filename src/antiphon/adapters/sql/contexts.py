"""Decoded contexts of recent turns, bounded in bytes, so that the next turn decodes only what is new.

A response's node holds what its turn added and points to the node before it: 300 turns are 300 nodes, and a fork
shares what came before. A conversation is one node. Other processes are noticed by two counters in the rows, which the
store reads (a lookup of some microseconds) before it trusts a node: `project.deletions` for chains, the version of the
conversation for conversations. Items never change, so nothing else can make a node wrong.

Not for several threads: it lives on the event loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal, TypeAlias

import msgspec

from antiphon.core.effects import Entry

Key: TypeAlias = tuple[Literal["response", "conversation"], int, str]

_NODE = 1000
"""About how many bytes a node takes without its entries."""


class Stamp(msgspec.Struct, frozen=True):
    """A state of a conversation: the key of its row, and its version."""

    key: int
    version: int


class Turn(msgspec.Struct, frozen=True):
    """What a response added: its input, then its output. `previous` is the id of the response before it; `weight` the
    bytes of the entries."""

    id: str
    previous: str | None
    entries: tuple[Entry, ...]
    inputs: int
    weight: int


class Context(msgspec.Struct, frozen=True):
    """A chain's entries, oldest first; the last `outputs` of them are the output of its last response."""

    entries: list[Entry]
    outputs: int


class Node:
    """A turn in the cache, after another one or none; or a conversation, whose `stamp` says as of when."""

    __slots__ = ("children", "entries", "inputs", "key", "parent", "stamp", "weight")

    def __init__(self, key: Key, entries: tuple[Entry, ...], inputs: int, weight: int) -> None:
        self.key = key
        self.entries = entries
        self.inputs = inputs
        self.weight = weight + _NODE
        self.parent: Node | None = None
        self.children: set[Node] = set()
        self.stamp: Stamp | None = None

    def context(self) -> Context:
        """Everything up to the end of this turn."""
        parts = [self.entries]
        node = self.parent
        while node is not None:
            parts.append(node.entries)
            node = node.parent
        return Context(list(chain.from_iterable(reversed(parts))), len(self.entries) - self.inputs)


def context(turns: Sequence[Turn]) -> Context:
    """The context that ends with the last of the turns."""
    last = turns[-1]
    return Context([entry for turn in turns for entry in turn.entries], len(last.entries) - last.inputs)


class Contexts:
    """At most `limit` bytes of nodes, by estimate; what was not used for longest goes first, ends of chains before
    their beginnings."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._weight = 0
        self._nodes: dict[Key, Node] = {}
        self._leaves: OrderedDict[Key, Node] = OrderedDict()
        """The nodes without children, the one that was not used for longest first."""
        self._deletions: dict[int, int] = {}

    @property
    def weight(self) -> int:
        """Bytes held, by estimate."""
        return self._weight

    # chains

    def turn(self, project: int, response_id: str) -> Node | None:
        """The turn, with all before it. Trust it only after `current`."""
        return self._used(("response", project, response_id))

    def current(self, project: int, deletions: int) -> bool:
        """Note how often the project's responses were deleted from, as just read. What is cached from before a deletion
        that we do not know of is dropped. False: it is older than what is known."""
        known = self._deletions.setdefault(project, deletions)
        if deletions > known:
            self._deletions[project] = deletions
            for key in [key for key in self._nodes if key[:2] == ("response", project)]:
                self._drop(self._nodes[key])
        return deletions >= known

    def add(self, project: int, turns: Iterable[Turn], deletions: int) -> None:
        """Keep these turns, each after its previous one, as they were when `deletions` was read, in one transaction. A
        turn whose previous one is not here is not kept."""
        if not self.current(project, deletions):
            return
        for turn in turns:
            key: Key = ("response", project, turn.id)
            parent = None if turn.previous is None else self._nodes.get(("response", project, turn.previous))
            if key not in self._nodes and (parent is not None or turn.previous is None):
                self._keep(Node(key, turn.entries, turn.inputs, turn.weight), parent)
        self._shrink()

    def deleted(self, project: int, response_id: str, deletions: int) -> None:
        """We deleted this response, which was the `deletions`-th deletion: chains to it are broken."""
        if self._deletions.get(project) == deletions - 1:
            self._deletions[project] = deletions
        self.current(project, deletions)
        node = self._nodes.get(("response", project, response_id))
        if node is not None:
            self._fell(node)

    # conversations

    def conversation(self, project: int, conversation_id: str, stamp: Stamp) -> tuple[Entry, ...] | None:
        """The conversation's entries, if they are here as of `stamp`."""
        node = self._used(("conversation", project, conversation_id))
        return node.entries if node is not None and node.stamp == stamp else None

    def hold(self, project: int, conversation_id: str, stamp: Stamp, entries: tuple[Entry, ...], weight: int) -> None:
        """Keep a conversation as of `stamp`."""
        key: Key = ("conversation", project, conversation_id)
        if (held := self._nodes.get(key)) is not None:
            self._drop(held)
        node = Node(key, entries, 0, weight)
        node.stamp = stamp
        self._keep(node, None)
        self._shrink()

    def extend(self, project: int, conversation_id: str, stamp: Stamp, entries: tuple[Entry, ...], weight: int) -> None:
        """These entries were appended to the conversation, which brought it to `stamp`."""
        node = self._nodes.get(("conversation", project, conversation_id))
        if node is not None and node.stamp == Stamp(stamp.key, stamp.version - 1):
            self.hold(project, conversation_id, stamp, node.entries + entries, node.weight - _NODE + weight)

    def forget(self, project: int, conversation_id: str) -> None:
        """The conversation was deleted."""
        node = self._nodes.get(("conversation", project, conversation_id))
        if node is not None:
            self._drop(node)

    # nodes

    def _used(self, key: Key) -> Node | None:
        node = self._nodes.get(key)
        if key in self._leaves:
            self._leaves.move_to_end(key)
        return node

    def _keep(self, node: Node, parent: Node | None) -> None:
        if parent is not None:
            node.parent = parent
            parent.children.add(node)
            self._leaves.pop(parent.key, None)
        self._nodes[node.key] = node
        self._leaves[node.key] = node
        self._weight += node.weight

    def _drop(self, node: Node) -> None:
        """Take out one node. Its children, if any, must be dropped with it."""
        del self._nodes[node.key]
        self._leaves.pop(node.key, None)
        self._weight -= node.weight
        parent = node.parent
        if parent is None:
            return
        parent.children.discard(node)
        if not parent.children and parent.key in self._nodes:
            self._leaves[parent.key] = parent
            self._leaves.move_to_end(parent.key, last=False)

    def _fell(self, root: Node) -> None:
        """Take out a node and all that comes after it."""
        waiting = [root]
        while waiting:
            node = waiting.pop()
            waiting.extend(node.children)
            self._drop(node)

    def _shrink(self) -> None:
        while self._weight > self._limit and self._leaves:
            self._drop(next(iter(self._leaves.values())))
