"""A folder of exchanges: found by what is asked, whole or not there, and plain about whatever is wrong with it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from antiphon.replay import exchange as files
from antiphon.replay import folder as folders
from antiphon.replay.canon import Canon, Rules
from antiphon.replay.cassette import COMPARED, Asked, Cassette
from antiphon.replay.exchange import Answer, Chunk, Exchange, Failure, RecordingError

DEADLINE = 30
PORT = "model.stream"


def exchange(words: str, answer: str = "yes", port: str = PORT) -> Exchange:
    return Exchange(port, {"messages": [{"content": words}]}, Answer((Chunk(0, Raw(json.dumps([answer]).encode())),)))


def asked(words: str, port: str = PORT) -> Asked:
    return Asked(port, exchange(words).request)


def said(found: Exchange | None) -> Any:
    assert found is not None
    assert found.answer.chunks is not None
    return json.loads(bytes(found.answer.chunks[0].content))[0]


def only(folder: Path) -> Path:
    (found,) = folder.glob("*.json")
    return found


# the format


def test_what_is_written_is_read_and_looks_well() -> None:
    chunks = (Chunk(0, Raw(b'["a"]')), Chunk(1.5, Raw(b'[{ "b" :1}]')))
    failed = Failure("ModelError", "No.", {"code": "x"})
    for answer in (
        Answer(chunks),
        Answer(()),
        Answer(value=Raw(b'{"a": 1}')),
        Answer(failure=failed),
        Answer(chunks, failure=failed),
    ):
        given = Exchange("p", {"a": [1, {"b": "é"}]}, answer, "openai")
        assert files.read(files.written(given), "x") == given
        assert files.head(files.written(given), "x").request == given.request
    text = files.written(Exchange("p", {"a": 1}, Answer(chunks))).decode()
    assert '      [0,["a"]],\n      [1.5,[{ "b" :1}]]\n' in text
    assert text.endswith("}\n")


BROKEN = {
    "empty": b"",
    "cut": files.written(exchange("a"))[:-20],
    "no JSON": b"not JSON",
    "a list": b"[]",
    "a number": b"7",
    "no text": b"\xff\xfe\x00",
    "of another program": b'{"request": {"body": {}}, "response": {}}',
    "no format": b'{"port": "p", "request": {}, "answer": {}}',
    "a wrong format": b'{"cassette": "1", "port": "p"}',
    "format 0": b'{"cassette": 0, "port": "p"}',
    "a wrong request": b'{"cassette": 1, "port": "p", "request": 5}',
    "a wrong answer": b'{"cassette": 1, "port": "p", "request": {}, "answer": {"chunks": 7}}',
    "deep": b'{"cassette": 1, "request": ' + b'{"a":' * 9000 + b"1" + b"}" * 9000 + b"}",
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_a_broken_file_is_an_error_that_names_it(what: str, tmp_path: Path) -> None:
    cassette = Cassette(tmp_path)
    name = cassette.keep(exchange("a"))
    (tmp_path / name).write_bytes(BROKEN[what])
    with pytest.raises(RecordingError, match=f"{name} cannot be read"):
        cassette.find(asked("a"))
    assert cassette.answered == 0


def test_a_format_of_the_future_is_said_whatever_else_it_holds(tmp_path: Path) -> None:
    name = Cassette(tmp_path).keep(exchange("a"))
    (tmp_path / name).write_text('{"cassette": 2, "request": ["new"], "answer": 5}')
    with pytest.raises(RecordingError, match=f"{name} has format 2; this version of Antiphon reads up to 1"):
        Cassette(tmp_path).find(asked("a"))


def test_a_file_that_is_too_large_is_neither_read_nor_written(tmp_path: Path) -> None:
    cassette = Cassette(tmp_path)
    name = cassette.keep(exchange("a"))
    with (tmp_path / name).open("r+b") as opened:
        opened.truncate(folders.LARGEST + 1)  # sparse
    with pytest.raises(RecordingError, match="more than"):
        cassette.find(asked("a"))
    folder = folders.Folder(tmp_path)
    with pytest.raises(RecordingError, match="is not recorded"):
        folder.add("x", 1, bytes(folders.LARGEST + 1))


# finding


def test_equal_requests_are_answered_in_order_and_the_last_answer_again(tmp_path: Path) -> None:
    for answer in ("one", "two"):
        Cassette(tmp_path).keep(exchange("a", answer))
    cassette = Cassette(tmp_path)
    assert [said(cassette.find(asked("a"))) for _ in range(4)] == ["one", "two", "two", "two"]
    assert cassette.find(asked("b")) is None
    assert cassette.find(asked("a", "model.relay")) is None
    assert cassette.answered == 4


def test_what_was_not_answered_from_is_told(tmp_path: Path) -> None:
    for words in "ab":
        Cassette(tmp_path).keep(exchange(words))
    cassette = Cassette(tmp_path)
    cassette.find(asked("a"))
    (left,) = cassette.unused()
    assert cassette.head(left).request == exchange("b").request


def test_recording_anew_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    for answer in ("old", "older"):
        Cassette(tmp_path).keep(exchange("a", answer))
    other = Cassette(tmp_path)
    other.keep(exchange("b"))
    cassette = Cassette(tmp_path)
    for answer in ("new", "newer"):
        cassette.keep(exchange("a", answer), anew=True)
    again = Cassette(tmp_path)
    assert [said(again.find(asked("a"))) for _ in range(3)] == ["new", "newer", "newer"]
    assert said(again.find(asked("b"))) == "yes"


def test_recording_anew_leaves_what_another_process_recorded_meanwhile(tmp_path: Path) -> None:
    Cassette(tmp_path).keep(exchange("a", "old"))
    one, other = Cassette(tmp_path), Cassette(tmp_path)
    assert one.names() == other.names()
    one.keep(exchange("a", "one"), anew=True)
    other.keep(exchange("a", "other"), anew=True)
    again = Cassette(tmp_path)
    assert {said(again.find(asked("a"))) for _ in range(2)} == {"one", "other"}


def test_a_file_that_was_edited_is_refused_until_it_is_put_right(tmp_path: Path) -> None:
    name = Cassette(tmp_path).keep(exchange("a"))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes().replace(b'"a"', b'"b"'))
    with pytest.raises(RecordingError, match=rf"{name} holds another request .*antiphon cassette check --fix"):
        Cassette(tmp_path).find(asked("a"))
    fixed = Cassette(tmp_path)
    assert fixed.refresh(name) == only(tmp_path).name != name
    assert said(fixed.find(asked("b"))) == "yes"
    assert fixed.refresh(only(tmp_path).name) is None


def test_a_file_that_was_recorded_by_other_rules_is_named_in_the_miss(tmp_path: Path) -> None:
    Cassette(tmp_path).keep(Exchange(PORT, {"a": "on 2026-01-02"}, Answer(value=Raw(b"1"))))
    (tmp_path / "cassette.toml").write_text('[[replace]]\npattern = "[0-9-]{10}"\nby = "<date>"\n')
    cassette = Cassette(tmp_path)
    wanted = cassette.asking(PORT, {"a": "on 2027-03-04"})
    assert cassette.find(wanted) is None
    missed = cassette.miss(wanted).message
    assert "was recorded by others; `antiphon cassette check --fix`" in missed
    assert cassette.refresh(only(tmp_path).name) is not None
    assert cassette.find(wanted) is not None


def test_writing_again_keeps_the_numbers_of_ids_and_redacts(tmp_path: Path) -> None:
    made = "file-68a1b2c3d4e5f6a7b8c9d0"
    cassette = Cassette(tmp_path, Canon(Rules()))
    wanted = cassette.asking(PORT, {"a": made})
    secret = "sk-" + "Ab12Cd34Ef56Gh78Ij90"
    name = cassette.keep(Exchange(PORT, wanted.form, Answer(value=Raw(f'"{made} <id 1>"'.encode()))), ids=wanted.ids)
    assert '"<id 1> <id 0>1>"' in (tmp_path / name).read_text()
    assert cassette.refresh(name) is None
    (tmp_path / name).write_text((tmp_path / name).read_text().replace("<id 0>1>", secret))
    assert cassette.refresh(name) == name
    assert '"<id 1> <redacted>"' in (tmp_path / name).read_text()


# misses


def test_a_miss_names_the_nearest_recording_and_the_first_difference(tmp_path: Path) -> None:
    names = [Cassette(tmp_path).keep(exchange(words)) for words in ("how many cats are there", "nothing like it")]
    cassette = Cassette(tmp_path)
    missed = cassette.miss(asked("how many dogs are there"))
    assert missed.message == (
        f"No recording of this request. The nearest is {names[0]}; it differs at $.messages[0].content: "
        'asked "how many dogs are there", recorded "how many cats are there".'
    )
    assert (missed.http_status, missed.code, cassette.missed) == (400, "replay_miss", 1)
    assert cassette.misses == [missed.message]


def test_a_miss_beside_a_broken_file_names_both(tmp_path: Path) -> None:
    Cassette(tmp_path).keep(exchange("a cat"))
    broken = Cassette(tmp_path).keep(exchange("b"))
    (tmp_path / broken).write_text("{")
    words = Cassette(tmp_path).miss(asked("a dog")).message
    assert "The nearest is" in words
    assert f"{broken} cannot be read" in words
    assert "none of the port 'x' was found" in Cassette(tmp_path).miss(asked("a", "x")).message


def test_a_miss_looks_at_some_files_only(tmp_path: Path) -> None:
    Cassette(tmp_path).keep(exchange("a cat"))
    stem = only(tmp_path).name.replace(only(tmp_path).name.split("-")[1], "{:016x}")
    for number in range(COMPARED + 50):
        os.mkfifo(tmp_path / stem.format(number)) if number % 2 else (tmp_path / stem.format(number)).touch()
    with (tmp_path / stem.format(16**15)).open("wb") as opened:
        opened.truncate(folders.LARGEST)  # its size alone is too much to be looked at
    assert "No recording of this request" in Cassette(tmp_path).miss(asked("a dog")).message


# the folder


def test_a_start_reads_names_alone(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{PORT}-{number:016x}-001.json").touch()  # nothing in them could be read
    cassette = Cassette(tmp_path)
    assert len(cassette.names()) == 10_000
    assert len(cassette.of(PORT)) == 10_000
    assert cassette.find(asked("a")) is None
    assert not cassette.holds(asked("a"))


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    for name in ("README.md", "x.json", ".a.part", "model.stream-0-001.json", "cassette.toml"):
        (tmp_path / name).write_text("")
    (tmp_path / f"{PORT}-{0:016x}-001.json").mkdir()
    assert Cassette(tmp_path).names() == []


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    name = Cassette(outside).keep(exchange("a"))
    inside.mkdir()
    (inside / name).symlink_to(outside / name)
    (inside / "cassette.toml").symlink_to(outside / name)
    with pytest.raises(RecordingError, match=r"cassette\.toml"):
        Cassette(inside)
    (inside / "cassette.toml").unlink()
    cassette = Cassette(inside)
    assert cassette.names() == []
    assert cassette.find(asked("a")) is None
    with pytest.raises(RecordingError, match="cannot be read"):
        cassette.read(name)
    cassette.keep(exchange("a", "mine"))
    assert said(Cassette(outside).find(asked("a"))) == "yes"
    assert said(Cassette(inside).find(asked("a"))) == "mine"


def test_a_pipe_is_no_recording(tmp_path: Path) -> None:
    name = Cassette(tmp_path).keep(exchange("a"))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert Cassette(tmp_path).names() == []
    with pytest.raises(RecordingError, match="no plain file"):
        Cassette(tmp_path).read(name)


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(RecordingError, match="Not a directory"):
        Cassette(tmp_path / "x").find(asked("a"))


def test_a_folder_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(RecordingError, match="cannot be recorded"):
        Cassette(Path("/proc/none/here")).keep(exchange("a"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_folder_without_permission_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RecordingError, match="Permission denied"):
        Cassette(tmp_path).keep(exchange("a"))
    tmp_path.chmod(0o000)
    with pytest.raises(RecordingError, match="Permission denied"):
        Cassette(tmp_path).names()
    tmp_path.chmod(0o700)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # as if no more went on the disk
    try:
        with pytest.raises(RecordingError, match="cannot be recorded"):
            Cassette(tmp_path).keep(exchange("a" * 10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    old, young, other = tmp_path / ".a.part", tmp_path / ".b.part", tmp_path / ".git.json"
    for path in (old, young, other):
        path.touch()
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    Cassette(tmp_path).keep(exchange("a"))
    assert not old.exists()
    assert young.exists()
    assert other.exists()


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def write(writer: int) -> list[str]:
        cassette = Cassette(tmp_path)
        barrier.wait(DEADLINE)
        return [cassette.keep(exchange("a", f"{writer}-{number}")) for number in range(50)]

    with ThreadPoolExecutor(4) as pool:
        names = [name for names in pool.map(write, range(4)) for name in names]
    assert len(set(names)) == 200
    cassette = Cassette(tmp_path)
    assert len({said(cassette.find(asked("a"))) for _ in range(200)}) == 200


WRITER = """
import sys
from pathlib import Path
from msgspec import Raw
from antiphon.replay.cassette import Cassette
from antiphon.replay.exchange import Answer, Exchange
cassette = Cassette(Path(sys.argv[1]))
for number in range(10**6):
    cassette.keep(Exchange("p", {"n": number}, Answer(value=Raw(b'"' + b"x" * 100_000 + b'"'))))
    if number == 20:
        print("go", flush=True)
"""


def test_a_process_that_is_killed_leaves_whole_exchanges(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        alarm = threading.Timer(DEADLINE, writer.kill)
        alarm.start()
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"go\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait(DEADLINE)
        alarm.cancel()
    cassette = Cassette(tmp_path)
    assert len(cassette.names()) >= 20
    for name in cassette.names():
        assert cassette.read(name).answer.value is not None
