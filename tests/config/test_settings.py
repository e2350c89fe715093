"""Settings: precedence for each key, problems with file and line, and secrets that never print."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imagen_nb.config.settings import environment_name, load_settings, setting_keys, validate_file
from imagen_nb.config.yaml_file import YAML_TEMPLATE, write_template
from imagen_nb.errors import ConfigError

UUIDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(3)]
VALUES: dict[str, tuple[Any, Any, Any]] = {  # in the file, in the environment, as argument
    "backend": ("flux-a", "flux-b", "flux-c"),
    "steps": (1, 2, 3),
    "width": (64, 128, 192),
    "height": (64, 128, 192),
    "guidance": (1.0, 2.5, 3.0),
    "tags": (("a",), ("b",), ("c",)),
    "wildcards_dir": ("/a", "/b", "/c"),
    "lora_dirs": (("/a",), ("/b",), ("/c",)),
    "output.dir": (Path("/a"), Path("/b"), Path("/c")),
    "output.cloud_sync": ("on", "off", "auto"),
    "supabase.url": ("https://a", "https://b", "https://c"),
    "supabase.key": ("key-a", "key-b", "key-c"),
    "supabase.email": ("a@a", "b@b", "c@c"),
    "supabase.password": ("pw-a", "pw-b", "pw-c"),
    "supabase.database_url": ("postgresql://a", "postgresql://b", "postgresql://c"),
    "supabase.exit_seconds": (1.0, 2.5, 3.0),
    "replicate.api_token": ("r8_a", "r8_b", "r8_c"),
    "replicate.timeout": (1.0, 2.5, 3.0),
    "cost.prices": ({"flux-a": 0.5}, {"flux-b": 0.25}, {"flux-c": 1.0}),
    "cost.watts": (100.0, 250.0, 300.0),
    "cost.usd_per_kwh": (0.1, 0.2, 0.3),
    "memory.plan": ("auto", "fast", "auto"),
    "memory.device": ("cpu", "cuda", "cuda:1"),
    "memory.pinned": (True, False, True),
    "memory.attention": ("auto", "native", "cudnn"),
    "memory.fused_qkv": (True, False, True),
    "memory.cache": ("first-block", "taylorseer", "none"),
    "memory.taylorseer": (3, 5, 0),
    "memory.dtype": ("bfloat16", "float16", "float32"),
    "memory.quantization": ("int8", "nf4", "none"),
    "memory.offload": ("none", "model", "group"),
    "memory.text_encoders": ("kept", "freed", "offloaded"),
    "memory.vae_tiling": (True, False, True),
    "memory.vae_slicing": (True, False, True),
    "memory.compile": (True, False, True),
    "memory.first_block_cache": (0.05, 0.1, 0.0),
    "memory.batch": (1, 2, 4),
    "memory.gguf": ("a.gguf", "b.gguf", "c.gguf"),
    "provenance.c2pa": (True, False, True),
    "provenance.certificate": (Path("/a.pem"), Path("/b.pem"), Path("/c.pem")),
    "provenance.private_key": (Path("/a.key"), Path("/b.key"), Path("/c.key")),
    "provenance.prompt": (True, False, True),
    "provenance.watermark": (True, False, True),
    "find.embedder": ("a", "b", "c"),
    "find.background": ("on", "off", "auto"),
    "score.aesthetic": (Path("/a"), Path("/b"), Path("/c")),
    "work.backends": (("flux-dev-local",), ("flux-tiny-local",), ("flux",)),
    "work.max_pixels": (1, 2, 3),
    "work.max_steps": (1, 2, 3),
    "work.lease_seconds": (1, 2, 3),
    "owner_user_id": (UUIDS[0], UUIDS[1], UUIDS[2]),
    "preview": ("on", "off", "auto"),
}


LISTS = ("tags", "lora_dirs", "work.backends")
_EMPTY_GROUPS = (  # of the template
    *("supabase", "replicate", "memory", "cost", "provenance", "find", "score", "work"),
    "owner_user_id",
)


def test_every_key_has_a_precedence_case() -> None:
    assert set(VALUES) == set(setting_keys())


@pytest.mark.parametrize("key", VALUES)
def test_arguments_win_over_environment_over_file(key: str, tmp_path: Path) -> None:
    in_file, in_environment, as_argument = VALUES[key]
    file = tmp_path / "imagen.yaml"
    group, _, name = key.rpartition(".")
    written = list(in_file) if key in LISTS else in_file
    file.write_text(f"{group}:\n  {name}: {written}\n" if group else f"{name}: {written}\n")
    text = ",".join(in_environment) if key in LISTS else str(in_environment)
    environ = {environment_name(key): text}
    argument = {group: {name: as_argument}} if group else {name: as_argument}
    assert _value(load_settings(None, file, {}), key) == str(in_file)
    assert _value(load_settings(None, file, environ), key) == str(in_environment)
    assert _value(load_settings(argument, file, environ), key) == str(as_argument)
    sources = [
        load_settings(*layers).sources[key]
        for layers in ((None, file, {}), (None, file, environ), (argument, file, environ))
    ]
    assert sources == [str(file), f"${environment_name(key)}", "argument"]


def _value(settings: Any, key: str) -> str:
    for part in key.split("."):
        settings = getattr(settings, part)
    return settings.get_secret_value() if hasattr(settings, "get_secret_value") else str(settings)


def test_without_any_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings(None, None, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert settings.backend_choice() == ("auto", {})
    assert settings.sources == {}


def test_the_file_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "imagen.yaml").write_text("steps: 1\n")
    (tmp_path / "other.yaml").write_text("steps: 2\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load_settings(None, None, environ).steps == 1
    environ["IMAGEN_CONFIG"] = str(tmp_path / "other.yaml")
    assert load_settings(None, None, environ).steps == 2
    assert load_settings(None, tmp_path / "imagen.yaml", environ).steps == 1


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="imagen config init"):
        load_settings(None, tmp_path / "none.yaml", {})


def test_a_bare_off_means_off(tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text("output:\n  cloud_sync: off\npreview: on\n")
    settings = load_settings(None, file, {})
    assert (settings.output.cloud_sync, settings.preview) == ("off", "on")


def test_a_backend_may_be_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text("backend: {type: flux, model: /models/mine}\n")
    assert load_settings(None, file, {}).backend_choice() == ("flux", {"model": "/models/mine"})


def test_every_problem_is_named_with_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text("stepz: 4\noutput:\n  cloud_sync: maybe\n  folder: x\nwidth: wide\n")
    said = [str(problem) for problem in validate_file(file)]
    assert said == [
        f"{file}:1: stepz: unknown key; did you mean steps?",
        f"{file}:3: output.cloud_sync: expected auto, on, off",
        *[line for line in said if ":4: output.folder: unknown key" in line],
        *[line for line in said if ":5: width: expected a whole number" in line],
    ]
    assert len(said) == 4


REFUSED = {  # what stands in the file: the line, and what is said of it
    "a group with a value": ("supabase: 5\n", 1, "supabase: expected indented lines"),
    "a switch for a number": ("steps: yes\n", 1, "steps: expected a whole number, 1 or more"),
    "steps below one": ("width: 64\nsteps: 0\n", 2, "steps: expected a whole number, 1 or more"),
    "guidance of nothing": ("guidance: .nan\n", 1, "guidance: expected a number, 0 or more"),
    "a backend that is no name": ("backend: 3\n", 1, "backend: expected a name, or a mapping"),
    "a backend without type": (
        "backend: {model: x}\n",
        1,
        "backend: expected a name, or a mapping",
    ),
    "a price that is none": ("cost: {prices: {a: -1}}\n", 1, "cost.prices: expected US dollars"),
    "watts of nobody": ("cost:\n  watts: lots\n", 2, "cost.watts: expected watts, 0 or more, or"),
    "no time": ("replicate: {timeout: 0}\n", 1, "replicate.timeout: expected seconds, more than 0"),
    "a home of nobody": ("output: {dir: ~nouser/x}\n", 1, "output.dir: expected a folder"),
    "a key given twice": ("steps: 1\n\nsteps: 2\n", 3, "steps: stands in line 1 already"),
    "an impossible date": ("tags: 2020-99-99\n", 1, "a date or number that cannot be"),
    "a number without end": (f"steps: {'9' * 5000}\n", 1, "a date or number that cannot be"),
    "a NUL": ("steps: 1\ntags: \0\n", 2, "a character that text cannot have"),
    "an object of Python": ("steps: !!python/object:os.system x\n", 1, "constructor"),
    "a tag of itself": ("supabase: &x {url: *x}\n", 1, "a value that holds itself"),
    "a forgotten space": ("supabase: {key:sb_secret_abc}\n", 1, "expected a space after the colon"),
}


@pytest.mark.parametrize(("text", "line", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_one_line_that_says_where_and_why(
    text: str, line: int, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text(text)
    (problem,) = validate_file(file)
    assert str(problem).startswith(f"{file}:{line}: ")
    assert says in str(problem)
    assert "sb_secret" not in str(problem)
    with pytest.raises(ConfigError, match=re.escape(str(problem))):
        load_settings(None, file, {"SUPABASE_KEY": "key"})


@given(
    st.text()
    | st.lists(
        st.tuples(
            st.sampled_from([*setting_keys(), "output", "supabase", "cost", "replicate"]),
            st.text("019.-:{}[]&*!~ \nax"),
        ),
        max_size=4,
    ).map(lambda lines: "".join(f"{key.partition('.')[0]}: {value}\n" for key, value in lines))
)
def test_any_text_is_either_settings_or_problems_of_one_line(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "imagen.yaml")
        file.write_bytes(text.encode(errors="surrogatepass"))
        problems = [str(problem) for problem in validate_file(file)]
        assert all(problem.isprintable() for problem in problems)
        if problems:
            with pytest.raises(ConfigError, match=re.escape(problems[0])):
                load_settings(None, file, {})
        else:
            load_settings(None, file, {})


def test_what_is_empty_is_not_given(tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text("steps:\noutput:\n  dir:\nsupabase:\nowner_user_id: ''\n")
    settings = load_settings({"width": None}, file, {"IMAGEN_BACKEND": ""})
    assert validate_file(file) == []
    assert (settings.sources, settings.steps, settings.backend) == ({}, None, "auto")


@pytest.mark.parametrize("text", ["a: [1\n", "\tb: 1\n", "- 1\n", "just text\n", "a: 'x\n"])
def test_what_is_no_mapping_is_one_problem(text: str, tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text(text)
    (problem,) = validate_file(file)
    assert str(problem).startswith(f"{file}:")
    assert "\n" not in str(problem)


def test_secrets_never_print(tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text("supabase:\n  key: sb_secret_abc\n  password: hunter22\n  url: [1]\n")
    problems = " ".join(str(problem) for problem in validate_file(file))
    file.write_text("supabase:\n  key: sb_secret_abc\n  password: hunter22\n")
    settings = load_settings(None, file, {})
    shown = repr(settings) + str(settings) + str(list(settings.shown())) + problems
    assert "sb_secret_abc" not in shown
    assert "hunter22" not in shown
    assert "****" in shown


SECRETS = (
    "supabase.url",
    "supabase.key",
    "supabase.email",
    "supabase.password",
    "supabase.database_url",
    "replicate.api_token",
)


def loaded(how: str, key: str, value: str, file: Path) -> Any:
    """The settings with this value, given in one of three ways."""
    group, _, name = key.rpartition(".")
    nested = {group: {name: value}}
    if how == "file":
        file.write_text(json.dumps(nested))  # JSON is YAML
        return load_settings(None, file, {})
    if how == "environment":
        return load_settings(None, None, {environment_name(key): value})
    return load_settings(nested, None, {})


@pytest.mark.parametrize("end", ["\n", "\r\n", " \r\n\r\n", "\t"])
@pytest.mark.parametrize("how", ["file", "environment", "argument"])
@pytest.mark.parametrize("key", SECRETS)
def test_the_end_of_a_files_line_is_no_part_of_a_secret(
    key: str, how: str, end: str, tmp_path: Path
) -> None:
    settings = loaded(how, key, f" https://a{end}", tmp_path / "imagen.yaml")
    assert _value(settings, key) == "https://a"


@pytest.mark.parametrize("inside", ["\r", "\n", "\r\nX-Other: ", "\0", "\x1b"])
@pytest.mark.parametrize("how", ["file", "environment", "argument"])
@pytest.mark.parametrize("key", SECRETS)
def test_a_control_character_inside_a_secret_is_one_line_without_it(
    key: str, how: str, inside: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(how, key, f"sb_sec{inside}ret", tmp_path / "imagen.yaml")
    said = str(raised.value)
    assert f"{key}: expected text without control characters" in said
    assert said.isprintable()
    assert "sb_sec" not in said
    assert "ret" not in said.partition("expected")[2]


@pytest.mark.parametrize("how", ["file", "environment", "argument"])
def test_a_secret_of_white_space_is_not_given(how: str, tmp_path: Path) -> None:
    settings = loaded(how, "supabase.key", " \r\n", tmp_path / "imagen.yaml")
    assert (settings.supabase.key, settings.sources) == (None, {})


def test_a_token_among_a_backends_options_does_not_print(tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text("backend: {type: flux-dev-replicate, api_token: r8_abcdef}\n")
    settings = load_settings(None, file, {})
    assert settings.backend_choice()[1]["api_token"].get_secret_value() == "r8_abcdef"
    assert "r8_abcdef" not in repr(settings) + str([*settings.shown()])


@pytest.mark.parametrize(
    "token", ["[r8_abcdef]", "{a: r8_abcdef}", "8", "[[r8_abcdef]]", '"r8_abc\\0def"']
)
def test_a_token_there_that_is_no_text_is_one_line_without_it(token: str, tmp_path: Path) -> None:
    """A list of it was shown by `imagen config show`."""
    file = tmp_path / "imagen.yaml"
    file.write_text(f"backend: {{type: flux-dev-replicate, api_token: {token}}}\n")
    with pytest.raises(ConfigError, match="an `api_token` in it is text") as raised:
        load_settings(None, file, {})
    assert "r8_abc" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_another_backend_calls_its_secrets_is_masked_too() -> None:
    options = {
        "type": "theirs",
        "model": "a",
        "api_key": "abcdef",
        "auth": [{"Password": "abcdef"}],
    }
    settings = load_settings({"backend": options}, None, {})
    assert settings.backend_choice() == (
        "theirs",
        {k: v for k, v in options.items() if k != "type"},
    )
    for shown in (repr(settings), str(settings), str([*settings.shown()])):
        assert "abcdef" not in shown
        assert "'model': 'a'" in shown


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter22@x.supabase.co",
        "https://hunter22@x.supabase.co",
        "https://me:hunter22%40x.supabase.co",
        "https://me:hunter22%2540x.supabase.co/@",
        "me:hunter22@x.supabase.co",
        "https://x.supabase.co?apikey=hunter22",
        "https://x.supabase.co/#access_token=hunter22",
        "https://x.supabase.co/%3Fapikey=hunter22",
    ],
)
@pytest.mark.parametrize("how", ["file", "environment", "argument"])
def test_an_address_with_a_password_or_a_key_in_it_is_refused_without_quoting_it(
    how: str, url: str, tmp_path: Path
) -> None:
    """`imagen status` and the settings' repr show the address."""
    with pytest.raises(ConfigError) as raised:
        loaded(how, "supabase.url", url, tmp_path / "imagen.yaml")
    said = str(raised.value)
    assert "supabase.url: expected text without control characters, @, ? and #, like https" in said
    assert "hunter22" not in said
    assert "\n" not in said


@pytest.mark.parametrize("url", ["https://x.supabase.co", "http://[::1]:54321/base/path/"])
def test_an_address_alone_is_taken(url: str) -> None:
    assert load_settings({"supabase": {"url": url}}, None, {}).supabase.url == url


def test_what_is_configured_of_replicate_is_for_its_backends_only() -> None:
    settings = load_settings({"replicate": {"timeout": 60}}, None, {"REPLICATE_API_TOKEN": "r8_a"})
    told = settings.options_of("flux-dev-replicate")
    assert told.pop("api_token").get_secret_value() == "r8_a"
    assert told == {"timeout": 60}
    assert settings.options_of("flux-dev-local") == {}


def test_the_template_is_valid_and_names_every_key(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "imagen.yaml"
    write_template(file)
    assert validate_file(file) == []
    names = {key.rpartition(".")[2]: f"#{key.rpartition('.')[2]}:" for key in setting_keys()}
    names |= {name: f"{name}:" for name in ("cloud_sync", "owner_user_id")}
    assert all(written in YAML_TEMPLATE for written in names.values())
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_template_has_the_place_for_the_owner_and_the_cloud_ready_to_fill_in() -> None:
    lines = YAML_TEMPLATE.splitlines()
    owner = lines.index("owner_user_id:")
    assert "SELECT id, email FROM auth.users;" in lines[owner - 1]
    assert yaml.safe_load(YAML_TEMPLATE) == {
        "output": {"cloud_sync": "auto"},
        **dict.fromkeys(_EMPTY_GROUPS),
    }


def test_the_template_never_overwrites_without_force(tmp_path: Path) -> None:
    file = tmp_path / "imagen.yaml"
    file.write_text("steps: 3\n")
    with pytest.raises(ConfigError, match="--force"):
        write_template(file)
    assert file.read_text() == "steps: 3\n"
    write_template(file, force=True)
    assert file.read_text() == YAML_TEMPLATE


def test_the_template_goes_where_a_link_points(tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(tmp_path / "dotfiles.yaml")
    write_template(tmp_path / "link.yaml")
    assert (tmp_path / "link.yaml").is_symlink()
    assert (tmp_path / "dotfiles.yaml").read_text() == YAML_TEMPLATE


def test_a_template_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "imagen.yaml", tmp_path / "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match="choose another place"):
            write_template(place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
