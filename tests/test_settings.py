"""Settings: what wins, where a value came from, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import msgspec
import pytest

from antiphon.core.limits import Limits
from antiphon.settings import Loaded, SettingsError, load, table
from antiphon.settings.schema import sections, variable


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path) -> Iterator[None]:
    """No settings file of the checkout is read."""
    with chdir(tmp_path):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "antiphon.toml"


def loaded(
    file: Path,
    text: str = "",
    environ: dict[str, str] | None = None,
    flags: dict[str, tuple[str, object]] | None = None,
) -> Loaded:
    file.write_text(text, "utf-8")
    return load(environ or {}, file=file, flags=flags)


def refused(file: Path, text: str = "", environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(file, text, environ)
    return [str(problem).replace(str(file), "FILE") for problem in caught.value.problems]


def source(found: Loaded, *path: str | int) -> str:
    return next(row.source for row in found.rows() if row.key == path)


def test_nothing_needs_to_be_set() -> None:
    settings = load({}).settings
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8321)
    assert settings.store.kind == "sqlite"
    assert settings.discovery.ports == {"ollama": 11434, "vllm": 8000, "lmstudio": 1234, "llamacpp": 8080}
    assert settings.models == ()


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(file: Path) -> None:
    text = '[server]\nport = 1\nhost = "h1"\nkeepalive = 2\n'
    environ = {"ANTIPHON_SERVER_PORT": "3", "ANTIPHON_SERVER_HOST": "h3"}
    found = loaded(file, text, environ, {"server.port": ("--port", 4)})
    server = found.settings.server
    assert (server.port, server.host, server.keepalive, server.max_body_mb) == (4, "h3", 2, 64)
    assert source(found, "server", "port") == "--port"
    assert source(found, "server", "host") == "env ANTIPHON_SERVER_HOST"
    assert source(found, "server", "keepalive") == f"{file}:4"
    assert source(found, "server", "max_body_mb") == "default"


def test_every_setting_outside_a_list_can_be_set_by_its_variable() -> None:
    values = {
        "true or false": "true",
        "a path": "/x",
        "one of debug, info, warning, error": "debug",
        "one of strict, ignore": "ignore",
        "one of listed, any, none": "any",
        "one of mark, approve": "approve",
        "a list of texts": "https://example.org",
        "a table of names, each with a table": '{"a": {"b": 1}}',
    }
    for key in table():
        if key.variable is None:
            continue
        value = values.get(key.allowed, "a=1" if "table" in key.allowed else "100")
        found = load({key.variable: value})
        assert source(found, *key.path) == f"env {key.variable}", key.variable


def test_no_two_settings_share_a_variable() -> None:
    names = [key.variable for key in table() if key.variable]
    assert len(names) == len(set(names))
    prefixes = [variable((name,)) + "_" for name, _, _ in sections()]
    assert not [(one, other) for one in prefixes for other in prefixes if one != other and one.startswith(other)]


def test_every_bound_of_a_run_has_a_setting() -> None:
    bounds = {key.path[1] for key in table() if key.path[0] == "limits"}
    plain = {str(bound).removesuffix("_kb") for bound in bounds}
    assert plain == {field.name for field in msgspec.structs.fields(Limits)}


def test_the_defaults_of_the_bounds_are_those_of_the_run() -> None:
    bounds, limits = load({}).settings.limits, Limits()
    for name, value in bounds.model_dump().items():
        assert value * (1024 if name.endswith("_kb") else 1) == getattr(limits, name.removesuffix("_kb"))


def test_variables_hold_lists_and_tables_as_words() -> None:
    environ = {
        "ANTIPHON_SERVER_API_KEYS": "one, two",
        "ANTIPHON_DISCOVERY_PORTS": "here=1234, there=99",
        "ANTIPHON_MODELS": '[{"name": "x", "base_url": "http://h/v1"}]',
    }
    found = load(environ)
    assert [key.get_secret_value() for key in found.settings.server.api_keys] == ["one", "two"]
    assert found.settings.discovery.ports == {"here": 1234, "there": 99}
    assert found.settings.models[0].options == {"base_url": "http://h/v1"}
    assert source(found, "models", 0, "base_url") == "env ANTIPHON_MODELS"


def test_a_table_in_a_variable_can_be_empty() -> None:
    assert load({"ANTIPHON_DISCOVERY_PORTS": "none"}).settings.discovery.ports == {}


def test_an_empty_variable_is_none() -> None:
    assert load({"ANTIPHON_SERVER_PORT": ""}).settings.server.port == 8321


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n[server]\nport = 80000\n", "FILE:3: server.port: must be a whole number from 0 to 65535"),
        ('[log]\nlevel = "loud"', "FILE:2: log.level: must be one of debug, info, warning, error"),
        ('log.level = "loud"', "FILE:1: log.level: must be one of debug, info, warning, error"),
        ('log = { level = "loud" }', "FILE:1: log.level: must be one of debug, info, warning, error"),
        ('[discovery]\nbuiltin = "perhaps"', "FILE:2: discovery.builtin: must be true or false"),
        ("[limits]\nrun_seconds = 0", "FILE:2: limits.run_seconds: must be a number above 0"),
        ("[[models]]\nkind = 'openai_chat'", "FILE:1: models[0].name: is required"),
        ("[[models]]\nname = 'a'\n[[models]]\n\nname = 'b c'", "FILE:5: models[1].name: must be text of letters"),
        ("[[models]]\nname = 'a'\n[[models]]\nname = 'a'", "FILE:4: models[1].name: another endpoint has this name"),
        ('[server]\ncors_origins = ["*", "a.b"]', "FILE:2: server.cors_origins[1]: 'a.b' is no site: write `https://"),
        ("server = 3", "FILE:1: server: must be a table"),
        ("[server]\nport = \n", "FILE:2: not TOML"),
    ],
)
def test_a_wrong_value_is_told_with_its_line_and_what_is_allowed(file: Path, text: str, problem: str) -> None:
    assert refused(file, text)[0].startswith(problem)


def test_an_unknown_key_is_an_error_with_the_nearest_name(file: Path) -> None:
    problems = refused(file, "[server]\nprot = 1\n[srever]\nport = 2\n")
    assert problems[0].startswith("FILE:2: server.prot: unknown name `prot`; did you mean `port`? allowed here: host")
    assert problems[1].startswith("FILE:3: srever: unknown name `srever`; did you mean `server`?")


def test_all_problems_are_told_at_once(file: Path) -> None:
    assert len(refused(file, "[server]\nport = 'x'\nkeepalive = 'y'\n[log]\nlevel = 1")) == 3


def test_a_wrong_variable_is_told_by_its_name(file: Path) -> None:
    assert refused(file, "", {"ANTIPHON_SERVER_PORT": "tcp://10.0.0.1:80"}) == [
        "env ANTIPHON_SERVER_PORT: server.port: must be a whole number from 0 to 65535"
    ]
    assert "did you mean `port`?" in refused(file, "", {"ANTIPHON_SERVER_PROT": "1"})[0]
    assert refused(file, "", {"ANTIPHON_MODELS": "[{"})[0].startswith("env ANTIPHON_MODELS: models: not JSON")


def test_a_variable_of_no_section_is_a_warning() -> None:
    found = load({"ANTIPHON_SEVER_PORT": "1", "ANTIPHON_PORT_80_TCP": "x", "ANTIPHONY": "1"})
    assert len(found.warnings) == 2
    assert (
        found.warnings[1] == "env ANTIPHON_SEVER_PORT is no setting and was ignored; did you mean ANTIPHON_SERVER_PORT?"
    )


def test_text_of_several_lines_does_not_shift_the_lines(file: Path) -> None:
    text = '[[models]]\nname = "a"\nnote = """\nport = 1\n[server]\n"""\n[server] # the server\nport = -1\n'
    assert refused(file, text)[0].startswith("FILE:8: server.port")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read: No such file"):
        load({}, file=tmp_path / "nowhere.toml")
    with pytest.raises(SettingsError, match=r"elsewhere\.toml: cannot be read"):
        load({"ANTIPHON_CONFIG": str(tmp_path / "elsewhere.toml")})


def test_secrets_are_never_shown(file: Path) -> None:
    secret = "s3cr3t-value"
    text = f"""
[server]
api_keys = ["{secret}"]
[web_search]
key = "{secret}"
[store]
password = "{secret}"
url = "postgresql://user:{secret}@host/db"
[[models]]
name = "m"
api_key = "{secret}"
headers = {{ Authorization = "{secret}" }}
api_key_env = "THE_NAME"
[models.nested]
access_token = "{secret}"
"""
    found = loaded(file, text)
    shown = repr([row.value for row in found.rows()]) + repr(found.settings.server) + repr(found.settings.web_search)
    assert secret not in shown
    assert "THE_NAME" in shown
    assert "//********@host/db" in shown


def test_a_wrong_secret_is_not_repeated(file: Path) -> None:
    problems = refused(file, '[web_search]\nkey = ["s3cr3t-value"]\n[server]\napi_keys = [{ x = "s3cr3t-value" }]')
    assert problems == [
        "FILE:4: server.api_keys[0]: must be a list of secrets",
        "FILE:2: web_search.key: must be a secret",
    ]


def test_the_home_folder_can_be_written_as_a_tilde(file: Path) -> None:
    assert loaded(file, '[data]\ndir = "~/x"').settings.data.dir == Path.home() / "x"
