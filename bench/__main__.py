"""`make bench`: start the upstream and a fresh server for each load, measure, print a Markdown report.

With `--base-url` it loads a server that already runs, whoever made it; `--pid` names the process to meter. Ends with 1
when any answer was not what it should be; a figure over its target is only marked, because machines differ.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import msgspec

from bench import load, report
from bench.client import Client
from bench.figures import Chain, Chains, Figures, Start
from bench.load import Target
from bench.meter import Meter, installed
from bench.server import Started, antiphon, upstream
from bench.sockets import sockets
from bench.tools import tools

STEPS = ("start", "first", "paced", "burst", "short", "chain", "memory", "sockets", "tools")
SHARED = Path(os.environ.get("ANTIPHON_SHARED", Path(__file__).resolve().parents[2] / "shared"))


class Options(argparse.Namespace):
    """What the command line says."""

    only: list[str]
    quick: bool
    base_url: str | None
    pid: int | None
    model: str
    key: str
    data: Path | None
    stats: str | None
    json: Path | None
    peers: Path
    core: int | None
    pin: bool

    @property
    def scale(self) -> float:
        """Multiplies the number of requests; 2 is what the peers were measured with."""
        return 0.5 if self.quick else 2.0

    @property
    def turns(self) -> int:
        """The length of a chain."""
        return 60 if self.quick else 300


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(STEPS), help=",".join(STEPS))
    parser.add_argument("--quick", action="store_true", help="fewer requests, chains of 60 turns")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--peers", type=Path, default=SHARED / "bench" / "peers", help="folder of other servers' figures"
    )
    parser.add_argument("--core", type=int, help="core to run everything on (default: the last one allowed)")
    parser.add_argument("--no-pin", dest="pin", action="store_false", help="use all cores")
    running = parser.add_argument_group("a server that already runs")
    running.add_argument("--base-url", help="its URL, with /v1")
    running.add_argument("--pid", type=int, help="its process")
    running.add_argument("--model", default="mock")
    running.add_argument("--key", default="sk-bench")
    running.add_argument("--data", type=Path, help="its data folder")
    running.add_argument("--stats", help="URL of /stats of the bench.upstream behind it")
    found = parser.parse_args(namespace=Options())
    if wrong := set(found.only) - set(STEPS):
        parser.error(f"no such step: {', '.join(sorted(wrong))}; there are {', '.join(STEPS)}")
    if (found.base_url is None) != (found.pid is None):
        parser.error("--base-url and --pid go together")
    return found


def pin(wanted: Options) -> int | None:
    """Keep this process and what it starts on one core, where the system can."""
    if not wanted.pin or not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0)) if wanted.core is None else wanted.core
    os.sched_setaffinity(0, {core})
    if wanted.pid is not None:
        os.sched_setaffinity(wanted.pid, {core})
    return core


class Bench:
    """Runs the steps. `port` is our upstream's; with None the server that the options name is loaded."""

    def __init__(self, wanted: Options, port: int | None) -> None:
        self._wanted = wanted
        self._port = port
        self.figures = Figures()

    @asynccontextmanager
    async def _server(self) -> AsyncGenerator[Started | Target]:
        wanted = self._wanted
        if self._port is not None:
            async with antiphon(self._port) as started:
                yield started
        else:
            assert wanted.base_url is not None
            assert wanted.pid is not None
            client = Client(wanted.base_url, wanted.model, wanted.key)
            yield Target(client, Meter(wanted.pid), wanted.data, wanted.stats)

    @asynccontextmanager
    async def _target(self) -> AsyncGenerator[Target]:
        async with self._server() as server:
            yield server.target if isinstance(server, Started) else server

    def steps(self) -> list[str]:
        """The steps that were asked for, in their order."""
        return [name for name in STEPS if name in self._wanted.only]

    async def step(self, name: str) -> None:
        """Run one step."""
        scale = self._wanted.scale
        if name == "start":
            await self._start()
        elif name == "tools":
            if self._port is not None:  # a server of somebody else's has no tool that does nothing
                self.figures.tools = await tools(self._port, scale)
        elif name == "chain":
            self.figures.chain = Chains(
                prev=await self._chain(conversation=False), conv=await self._chain(conversation=True)
            )
        else:
            async with self._target() as target:
                match name:
                    case "first":
                        self.figures.ttfe = await load.first(target, scale)
                    case "paced":
                        self.figures.stream = await load.paced(target, scale)
                    case "burst":
                        self.figures.burst = await load.burst(target, scale)
                    case "short":
                        self.figures.nonstream = await load.short(target, scale)
                    case "sockets":
                        self.figures.sockets = await sockets(target, scale)
                    case _:
                        self.figures.mem = await load.memory(target)

    async def _start(self) -> None:
        """The median of five starts; the first one warms the disk's cache and is not counted."""
        if self._port is None:
            return
        seconds: list[float] = []
        for _ in range(6):
            async with antiphon(self._port) as started:
                seconds.append(started.seconds)
        self.figures.start = Start(
            first_response_s=round(median(seconds[1:]), 2), installed_mb=round(installed("antiphon"), 1)
        )

    async def _chain(self, *, conversation: bool) -> Chain:
        async with self._server() as server:
            target = server.target if isinstance(server, Started) else server
            measured = await load.chain(target, self._wanted.turns, conversation=conversation)
            if isinstance(server, Started):
                measured.at_rest_bytes = await server.stop()
            return measured


async def main() -> int:
    """Measure and print; 1 when anything came that should not have come."""
    wanted = options()
    core = pin(wanted)
    if wanted.base_url is not None:
        figures = await _measure(Bench(wanted, None))
    else:
        async with upstream() as port:
            figures = await _measure(Bench(wanted, port))
    print(f"\n{report.machine(core)}; `python -m bench {' '.join(sys.argv[1:])}`".rstrip() + "\n")
    print(report.table(figures, report.peers(wanted.peers)))
    if wanted.json:
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    faults = figures.faults()
    print("\nFaults: " + ("none." if not faults else "".join(f"\n- {fault}" for fault in faults)))
    return 1 if faults else 0


async def _measure(bench: Bench) -> Figures:
    for name in bench.steps():
        start = time.perf_counter()
        print(f"{name} ... ", end="", file=sys.stderr, flush=True)
        await bench.step(name)
        print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)
    return bench.figures


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
