"""What is taken for a secret, and where one is found."""

from __future__ import annotations

import base64
import json
import resource
from typing import Any

import pytest

from antiphon.core.deltas import CallDelta, Delta, ReasoningDelta, StepEnded, TextDelta
from antiphon.replay.canon import Canon
from antiphon.replay.numbers import Numbers
from antiphon.replay.pieces import documents
from antiphon.replay.secrets import BLOT, Secrets, telling
from antiphon.replay.taped import deltas
from antiphon.wire.content import LogProb
from tests.recorded import chat_streams
from tests.shared import needs_shared

KEY = "sk-" + "proj-Ab12Cd34Ef56Gh78Ij90"
CANARY = "hunter2-canary"
REDACT = Secrets((CANARY,))

FORMS = {
    "a key": KEY,
    "a key of GitHub": "ghp_" + "Ab12Cd34Ef56Gh78Ij90Kl12",
    "a key of AWS": "AKIA" + "ABCDEFGHIJKLMNOP",
    "a key of Slack": "xoxb-" + "1234567890-abcdefghij",
    "a key of Google": "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "a token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "the beginning of a private key": "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQ",
    "a known value": CANARY,
}


@pytest.mark.parametrize("what", list(FORMS))
def test_a_known_form_is_redacted_wherever_it_stands(what: str) -> None:
    secret = FORMS[what]
    for words in (secret, f"see {secret}", f"see\n'{secret}'", json.dumps({"x": secret}), json.dumps([f"a {secret}"])):
        assert BLOT in REDACT(words)
        assert secret not in REDACT(words)
        assert REDACT(REDACT(words)) == REDACT(words)
    assert REDACT.value({"a": [{"b": secret}], secret: None}) == {"a": [{"b": BLOT}], BLOT: None}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("Authorization: Bearer abc123def456", "Authorization: Bearer <redacted>"),
        ("Authorization: AWS4-HMAC-SHA256 Credential=x1/y", "Authorization: AWS4-HMAC-SHA256 <redacted>"),
        ("-H 'x-api-key: abcd1234'", "-H 'x-api-key: <redacted>'"),
        ("Cookie: sid=abc; b=c\nnext", "Cookie: <redacted>\nnext"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic <redacted>"),
        ("https://me:pw@host/x", "https://<redacted>@host/x"),
        ("postgres://me:pw@host/db", "postgres://<redacted>@host/db"),
        ("https://h/x?a=1&access_token=abc&b=2", "https://h/x?a=1&access_token=<redacted>&b=2"),
        ("https://h/?X-Amz-Signature=abcdef0123456789ab&y=1", "https://h/?X-Amz-Signature=<redacted>&y=1"),
        ("export DB_PASSWORD=hunter22", "export DB_PASSWORD=<redacted>"),
        ("{'password': 'pw', 'x': 1}", "{'password': '<redacted>', 'x': 1}"),
        ('{"api_key": "pw", "x": 1}', '{"api_key": "<redacted>", "x": 1}'),
        ('{"api_key": "pw\\"more", "x": 1}', '{"api_key": "<redacted>", "x": 1}'),
        ('{"a": "{\\"apiKey\\": \\"pw\\"}"}', '{"a": "{\\"apiKey\\": \\"<redacted>\\"}"}'),
        ('{"cookies": ["a=b", "c=d"], "n": 1}', '{"cookies": "<redacted>", "n": 1}'),
        ('{"credentials": {"user": "a"}, "n": 1}', '{"credentials": "<redacted>", "n": 1}'),
        ('{"password": 1234, "max_tokens": 5}', '{"password": "<redacted>", "max_tokens": 5}'),
        ('{"api_key": "p', '{"api_key": "<redacted>'),
    ],
)
def test_secrets_in_a_text_are_redacted_and_only_they(given: str, left: str) -> None:
    assert REDACT(given) == left
    assert REDACT(left) == left


@pytest.mark.parametrize(
    "words",
    [
        "The token: it is nice, and password: required for a login.",
        "The bearer of this message, basic instructions, authorization: needed.",
        "Use sk-learn-contrib and max_tokens=1000, chunk_tokenizer: tiktoken:cl100k_base.",
        '{"password": {"type": "string", "description": "The password"}}',
        "https://host/a:b/c?page=2&next_page_token=abc",
        "def login(password: str) -> None: token = tokens[0]",
        "call_customer_service",
    ],
)
def test_innocent_words_stay(words: str) -> None:
    assert REDACT(words) == words


@pytest.mark.parametrize(
    "name",
    "api_key X-API-Key apiKey APIKEY Authorization proxy-authorization access_token accessToken PASSWORD "
    "db_password Set-Cookie token client-secret aws_secret_access_key secrets private.key".split(),
)
def test_what_stands_under_a_telling_name_is_redacted_at_any_depth(name: str) -> None:
    assert telling(name)
    given: dict[str, Any] = {"a": [{"b": {name: "x", "n": 1}}], "c": {name: {"inner": ["y", 5, None, True]}}}
    assert REDACT.value(given) == {
        "a": [{"b": {name: BLOT, "n": 1}}],
        "c": {name: {"inner": [BLOT, BLOT, None, True]}},
    }


@pytest.mark.parametrize("name", "max_tokens tokens tokenizer next_page_token eos_token monkey keyword".split())
def test_other_names_are_not_telling(name: str) -> None:
    assert not telling(name)


def test_the_schema_of_a_field_is_no_secret() -> None:
    schema = {"properties": {"api_key": {"type": "string", "description": "Your key"}}, "required": ["api_key"]}
    assert REDACT.value(schema) == schema


def test_log_probabilities_are_no_secrets() -> None:
    said = {"content": [{"token": "Hello", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -2}]}]}
    assert REDACT.value(said) == said


def test_base64_of_a_text_is_looked_into() -> None:
    for head in ("", "data:text/plain;base64,"):
        given = head + base64.b64encode(f"the key is {KEY}.".encode()).decode()
        found = REDACT.value({"content": given})["content"]
        assert base64.b64decode(found.removeprefix(head)) == b"the key is <redacted>."
    vector = base64.b64encode(bytes(range(200, 256))).decode()
    assert REDACT.value([vector]) == [vector]


def test_short_known_values_and_placeholders_are_not_looked_for() -> None:
    assert Secrets(("a", "none", "not-needed"))("a none not-needed") == "a none not-needed"


def test_a_known_value_is_found_as_a_url_and_as_json_write_it() -> None:
    found = Secrets(('p"ss wörd/1',))
    assert found(json.dumps('p"ss wörd/1', ensure_ascii=False)) == f'"{BLOT}"'
    assert found("https://h/?q=p%22ss%20w%C3%B6rd%2F1") == f"https://h/?q={BLOT}"


def cut(words: str, size: int) -> list[str]:
    return [words[start : start + size] for start in range(0, len(words), size)]


def joined(said: list[bytes], kind: str, field: str) -> str:
    return "".join(json.loads(each)[kind].get(field) or "" for each in said if kind in json.loads(each))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("secret", [KEY, CANARY, FORMS["a private key"], FORMS["a token"]])
def test_a_secret_that_is_cut_over_chunks_is_found(secret: str, size: int) -> None:
    text, arguments = f"The key is {secret} ok?", json.dumps({"a": 1, "password": "pw", "b": secret})
    batch: list[Delta] = [TextDelta(each) for each in cut(text, size)]
    batch += [ReasoningDelta(each) for each in cut(text, size)]
    batch += [CallDelta(0, "call_1", "f"), CallDelta(1, "call_2", "g")]
    for one in cut(arguments, size):  # calls may be said side by side
        batch += [CallDelta(0, arguments=one), CallDelta(1, arguments=one)]
    said = documents(deltas.written([*batch, StepEnded("stop")]), REDACT, Numbers({}))
    assert joined(said, "TextDelta", "text") == joined(said, "ReasoningDelta", "text") == f"The key is {BLOT} ok?"
    assert len(said) == len(batch) + 1
    for index in (0, 1):
        calls = [each["CallDelta"] for each in map(json.loads, said) if "CallDelta" in each]
        found = json.loads("".join(each.get("arguments", "") for each in calls if each["index"] == index))
        assert found == {"a": 1, "password": BLOT, "b": BLOT}


@pytest.mark.parametrize("size", [1, 4, 9])
def test_a_secret_that_is_cut_over_chunks_of_a_stream_is_found(size: int) -> None:
    def chunk(**delta: Any) -> bytes:
        return json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta, "logprobs": None}]}).encode()

    words = f"Say {KEY}!"
    said = documents(
        [
            *[chunk(content=each) for each in cut(words, size)],
            *[chunk(tool_calls=[{"index": 0, "function": {"arguments": each}}]) for each in cut(f'"{KEY}"', size)],
            chunk(content=" End."),
        ],
        REDACT,
        Numbers({}),
    )
    each = [json.loads(one)["choices"][0]["delta"] for one in said]
    assert "".join(one.get("content", "") for one in each) == f"Say {BLOT}! End."
    calls = [one["tool_calls"][0]["function"]["arguments"] for one in each if "tool_calls" in one]
    assert "".join(calls) == f'"{BLOT}"'
    assert said[-1] == chunk(content=" End."), "what holds none keeps its bytes"


def test_log_probabilities_do_not_tell_what_was_redacted() -> None:
    pieces = cut(f"Say {KEY}!", 4)
    told = [TextDelta(each, (LogProb(token=each, logprob=0.0, bytes=tuple(each.encode())),)) for each in pieces]
    said = b"".join(documents(deltas.written(told), REDACT, Numbers({})))
    assert KEY[8:12].encode() not in said


@needs_shared
def test_no_recorded_stream_holds_a_secret() -> None:
    for recording in chat_streams()[::9]:
        given = [json.dumps(each).encode() for each in recording.chunks]
        assert documents(given, REDACT, Numbers({})) == given, recording.name


@pytest.mark.parametrize(
    "piece",
    [
        *("a=", "ab=", "a: ", "sk-", "-eyJ", "bearer ", "authorization: x", "'", '"', '\\"', "\\", '{"a":"', "ab "),
        *("'token':[", '"token":{', '\\"token\\": \\"', "call-", "file-a", "://", "://a:", "?a=", "&token=", "SG.a"),
        *("-----BEGIN " + "PRIVATE KEY", "cookie:a=", "token=a", "ab", " "),
    ],
)
def test_looking_takes_no_longer_than_the_text_is_long(piece: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    text = piece * (300_000 // len(piece))
    Canon().form({"a": text})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 10, "it grows with the square"
