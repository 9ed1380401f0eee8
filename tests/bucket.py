"""A local S3-compatible server: a process of its own on a free port, with one bucket."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import boto3
import msgspec

from tests.process import environ

DEADLINE: Final = 30.0
BUCKET: Final = "antiphon-test"
REGION: Final = "us-east-1"
KEY: Final = "test-key"
SECRET: Final = "test-secret"


class Bucket(msgspec.Struct, frozen=True):
    """Where it is, and a look at what it holds."""

    endpoint: str
    client: Any

    @property
    def options(self) -> dict[str, object]:
        """The keys of `[blobs]`."""
        return {"bucket": BUCKET, "endpoint": self.endpoint, "region": REGION, "key": KEY, "secret": SECRET}

    def keys(self) -> list[str]:
        """The objects."""
        listed = cast("dict[str, Any]", self.client.list_objects_v2(Bucket=BUCKET))
        return [str(found["Key"]) for found in listed.get("Contents", ())]

    def unfinished(self) -> list[str]:
        """What is being uploaded in parts."""
        listed = cast("dict[str, Any]", self.client.list_multipart_uploads(Bucket=BUCKET))
        return [str(found["Key"]) for found in listed.get("Uploads", ())]


@contextmanager
def bucket(home: Path) -> Generator[Bucket]:
    """The server, from the moment it answers; gone at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        env=environ(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _answers(port)
        endpoint = f"http://127.0.0.1:{port}"
        connect = cast("Any", boto3.client)
        client = connect(
            "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        client.create_bucket(Bucket=BUCKET)
        yield Bucket(endpoint, client)
        client.close()
    finally:
        process.kill()
        process.wait(DEADLINE)


def _answers(port: int) -> None:
    until = time.monotonic() + DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)  # it tells nobody that it listens
        else:
            return
