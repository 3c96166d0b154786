"""Where settings come from, what wins, and how a value that cannot be used is pointed at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtake import cli, config
from longtake.cli.run_config import as_toml
from longtake.config import ConfigError, default_file, flat, gather, variable
from longtake.settings import TakeConfig

KEYS = list(flat(gather(None, {}, {}).settings))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings but those of the test; returns where its own file would lie."""
    for name in [name for name in os.environ if name.startswith("LONGTAKE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "longtake" / "config.toml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(file: Path, text: str, environment: Mapping[str, str] | None = None) -> str:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        gather(file, environment or {}, {})
    return str(caught.value)


# ------------------------------------------------------------------ what wins


def test_with_nothing_set_all_is_as_by_default() -> None:
    gathered = gather(None, {}, {})
    assert gathered.settings == config.Settings(take=TakeConfig())
    assert (gathered.settings.model, gathered.settings.quantize) == ("embedded", "none")
    assert list(gathered.origins) == KEYS
    assert set(gathered.origins.values()) == {"default"}


def test_flags_go_before_the_environment_before_the_file_before_defaults(file: Path) -> None:
    file.write_text("[take]\nfps = 2\nwindow_s = 9.5\ntop_k = 3\n")
    gathered = gather(
        file,
        {"LONGTAKE_WINDOW_S": "7", "LONGTAKE_TOP_K": "5", "LONGTAKE_MODEL": ""},
        {"take.top_k": 8, "model": None},
    )
    take, origins = gathered.settings.take, gathered.origins
    assert (take.fps, take.window_s, take.top_k, take.evidence) == (2.0, 7.0, 8, 4)
    assert origins["take.fps"] == f"{file} line 2"
    assert origins["take.window_s"] == "environment LONGTAKE_WINDOW_S"
    assert origins["take.top_k"] == "flag"
    assert origins["take.evidence"] == origins["model"] == "default"


@pytest.mark.parametrize("key", KEYS)
def test_every_key_can_come_from_each_place(key: str, file: Path) -> None:
    words = {
        "model": "here",
        "device": "cpu",
        "dtype": "float32",
        "quantize": "8bit",
        "memory.index": "exact",
        "memory.codec": "kivi4",
        "memory.ladder": "int8@1h,gone@2d",
        "memory.back_pressure": "degrade",
        "capture.preset": "robust",
        "capture.policy": "newest",
        "capture.sampling": "adaptive",
        "take.mode": "window",
        "take.select": "blind",
        "take.recall": "model,recent:2",
        "take.scores": "centred",
        "serve.host": "0.0.0.0",
        "serve.allow_sources": ("10.0.0.0/8", "cam.local"),
        "serve.allow_hosts": ("house.local",),
        "serve.allow_origins": ("https://house.local:8443",),
    }
    value: Any = words.get(key, 1)
    file.write_text(f"{key} = {json.dumps(value)}\n")
    environment = {variable(key): ", ".join(value) if isinstance(value, tuple) else str(value)}
    for gathered, origin in (
        (gather(file, {}, {}), f"{file} line 1"),
        (gather(None, environment, {}), f"environment {variable(key)}"),
        (gather(None, {}, {key: value}), "flag"),
    ):
        assert flat(gathered.settings)[key] == value
        assert {k: o for k, o in gathered.origins.items() if o != "default"} == {key: origin}


def test_no_two_keys_share_a_variable() -> None:
    names = [variable(key) for key in KEYS]
    assert len({*names, "LONGTAKE_CONFIG"}) == len(KEYS) + 1


def test_sizes_may_be_written_with_a_unit(file: Path) -> None:
    file.write_text('[memory]\nram_bytes = "200M"\nsegment_bytes = 4096\n')
    memory = gather(file, {"LONGTAKE_DISK_BYTES": "1.5T"}, {}).settings.take.memory
    assert memory.ram_bytes == 200 << 20
    assert memory.segment_bytes == 4096
    assert memory.disk_bytes == 3 << 39


def test_the_file_at_home_is_read_where_none_is_named(home: Path, tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "HOME": "/nowhere"}
    assert default_file(environment) == home
    assert gather(None, environment, {}).settings.model == "embedded"
    home.parent.mkdir(parents=True)
    home.write_text('model = "mine"')
    assert gather(None, environment, {}).settings.model == "mine"


def test_a_relative_or_missing_xdg_home_means_dot_config() -> None:
    below = Path("/anna/.config/longtake/config.toml")
    assert default_file({"HOME": "/anna"}) == below
    assert default_file({"HOME": "/anna", "XDG_CONFIG_HOME": "somewhere"}) == below
    assert default_file({}) is None


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbfmodel = "mine"\r\n[take]\r\nfps = 2\r\n')
    gathered = gather(file, {}, {})
    assert (gathered.settings.model, gathered.settings.take.fps) == ("mine", 2.0)
    assert gathered.origins["take.fps"] == f"{file} line 3"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[take]\nfps = 2", 2),
        ("# fps = 1\n\n[ take ] # fps = 3\n\n  fps=2", 5),
        ("take.fps = 2", 1),
        ('"take"."f\\u0070s" = 2', 1),
        ("model = '''\n[take]\nfps = 1\n'''\n[take]\nfps = 2", 6),
        ("[memory]\nindex = 'exact'\n[take]\n# [memory]\nfps = 2", 5),
        ("take = {evidence = 1, fps = 2}", 1),
        ('model = "a\u2028b\x85c"\n[take]\nfps = 2', 3),
    ],
)
def test_the_line_of_a_key_is_found(file: Path, text: str, line: int) -> None:
    file.write_text(text, encoding="utf-8")
    gathered = gather(file, {}, {})
    assert gathered.settings.take.fps == 2.0
    assert gathered.origins["take.fps"] == f"{file} line {line}"


def test_a_value_of_several_lines_stands_where_it_begins(file: Path) -> None:
    file.write_text("device = 'cpu'\nmodel = '''\nmine\n'''\n")
    assert gather(file, {}, {}).origins["model"] == f"{file} line 2"


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[take]\nfps = 2\nfsp = 2", 3, "take.fsp is not known; did you mean take.fps?"),
        ("[take]\ntop-k = 2", 2, "did you mean take.top_k?"),
        ("fps = 2", 1, "did you mean take.fps?"),
        ("[memory]\nwindow = 2", 2, "did you mean take.window_s?"),
        ("[decoding]\nTEMPERATURE = 2", 2, "did you mean decoding.temperature?"),
        ("\n[taek]\nfps = 2", 2, "taek is not known; did you mean [take]?"),
        ("[take.memory]\nram_bytes = 2", 1, "did you mean [memory]?"),
        ("[qqqq]", 1, "qqqq is not known; take it out, or write one of model, device"),
        ('"take.fps" = 2', 1, "take.fps is not known"),
        ("take = 3", 1, "take is a table: write [take]"),
        ("[[take]]\nfps = 3", 1, "take is a table: write [take]"),
        ('[take]\nfps = "2"', 2, "(take.fps): fps='2': must be a valid number"),
        ("[take]\ntop_k = true", 2, "(take.top_k): top_k=True: must be a valid integer"),
        ("[take]\ntop_k = 2.5", 2, "top_k=2.5: must be a valid integer"),
        ("[take]\nfps = nan", 2, "must be a finite number"),
        ("[decoding]\ntemperature = inf", 2, "must be a finite number"),
        ("model = 3", 1, "(model): model=3: must be a valid string"),
        ("[model]\nname = 'x'", 1, "(model): model={'name': 'x'}: must be a valid string"),
        ('[memory]\nram_bytes = "4 elephants"', 2, "'4 elephants' is not a size: write bytes"),
        ("[memory]\nram_bytes = 0x1_0000_0000_0000_0000", 2, "must fit in 64 bits"),
        ("[take]\n\ntop_k = 0", 3, "(take.top_k): top_k=0: must be at least 1; change it"),
        ("[take]\ntop_k = 3\nfps = -1", 3, "(take.fps): fps=-1.0: must be a positive number"),
        ("quantize = '5bit'", 1, "(quantize): quantize='5bit': must be none, 4bit or 8bit"),
        ("max_pixels = 0", 1, "(max_pixels): max_pixels=0: must be at least 1"),
        ("[take]\nmax_pixels = 9", 2, "did you mean max_pixels?"),
        ("[memory]\nindex = 'fast'", 2, "index='fast': must be one of auto, exact, faiss"),
        ("[decoding]\ntop_p = 0", 2, "(decoding.top_p): top_p=0.0: must be above 0"),
    ],
)
def test_what_a_file_says_wrong_is_pointed_at(file: Path, text: str, line: int, said: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file} line {line}")
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[take]\nfps = \n", "line 2"),
        ("model = here", "line 1"),
        ("[take]\nfps = 1\nfps = 2", "line 3"),
        ("device = 'cpu'\nmodel = '''x\n", "line 2"),
        ("seed = " + "9" * 5000, "4300"),
        ("model = " + "[" * 5000, "nested|recursion"),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(file: Path, text: str, said: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: is not TOML: ")
    assert any(word in message for word in said.split("|"))


def test_of_several_wrong_values_the_one_complained_about_is_named(file: Path) -> None:
    message = refusal(file, "[take]\ntop_k = 0", {"LONGTAKE_FPS": "-2"})
    assert message.startswith("environment LONGTAKE_FPS (take.fps): fps=-2.0: ")
    assert str(file) not in message


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("LONGTAKE_FPS", "fast", "fps='fast': must be a valid number"),
        ("LONGTAKE_FPS", "0", "fps=0.0: must be a positive number"),
        ("LONGTAKE_TOP_K", "2.5", "top_k='2.5': must be a valid integer"),
        ("LONGTAKE_DISK_BYTES", "none", "'none' is not a size"),
        ("LONGTAKE_SEED", str(1 << 64), "must fit in 64 bits"),
        ("LONGTAKE_INDEX", "fast", "index='fast': must be one of auto, exact, faiss"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gather(None, {name: text}, {})
    assert str(caught.value).startswith(f"environment {name} (")
    assert said in str(caught.value)


def test_a_wrong_flag_is_no_matter_of_configuration(file: Path) -> None:
    file.write_text("[take]\ntop_k = 0")
    with pytest.raises(ValueError, match=r"^fps=0: must be a positive number$") as caught:
        gather(None, {}, {"take.fps": 0})
    assert not isinstance(caught.value, ConfigError)
    assert gather(file, {}, {"take.top_k": 3}).settings.take.top_k == 3, "the flag overrides it"


def test_values_that_are_refused_together_are_named_together(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = config._build

    def picky(values: Mapping[str, object]) -> config.Settings:
        if values.get("take.fps") == 9 and values.get("decoding.seed") == 9:
            raise ValueError("fps=9 and seed=9: not both")
        return build(values)

    monkeypatch.setattr(config, "_build", picky)
    message = refusal(file, "[take]\ntop_k = 9\nfps = 9", {"LONGTAKE_SEED": "9"})
    places = f"{file} line 3 (take.fps) and environment LONGTAKE_SEED (decoding.seed)"
    assert message == f"{places}: fps=9 and seed=9: not both; change one of them"
    with pytest.raises(ValueError, match=r"line 3 \(take.fps\) and flag \(decoding.seed\)") as c:
        gather(file, {}, {"decoding.seed": 9})
    assert not isinstance(c.value, ConfigError), "the flag is what was typed now"


def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"missing.toml: there is no such file; --config and"):
        gather(tmp_path / "missing.toml", {}, {})
    with pytest.raises(ConfigError, match="is a folder"):
        gather(tmp_path, {}, {})
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# first\nmodel = 'caf\xe9'\n")
    with pytest.raises(ConfigError, match=r"latin.toml line 2: is not UTF-8"):
        gather(latin, {}, {})
    home.mkdir(parents=True)  # also where nobody named it
    with pytest.raises(ConfigError, match="is a folder"):
        gather(None, os.environ, {})

    def forbid(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    with pytest.raises(ConfigError, match=r"cannot be read \(Permission denied\); make it"):
        gather(latin, {}, {})


def test_a_login_never_reaches_a_message(file: Path) -> None:
    message = refusal(file, '[take]\nfps = "http://anna:secret@hub/x?token=hidden"')
    assert "secret" not in message and "hidden" not in message
    assert "http://***@hub" in message


# ------------------------------------------------------------------ longtake config show


def show(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.main(["config", "show", *(str(word) for word in words)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_show_prints_values_with_their_origins(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('model = "mine"\n[take]\nfps = 2\n')
    monkeypatch.setenv("LONGTAKE_RAM_BYTES", "2G")
    code, out, err = show(capsys, "--config", file)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == f"# {file}"
    assert f'model = "mine" # {file} line 1' in lines
    assert f"fps = 2.0 # {file} line 3" in lines
    assert "ram_bytes = 2147483648 # environment LONGTAKE_RAM_BYTES" in lines
    assert 'device = "auto" # default' in lines
    assert "# window_s = # default: from the model" in lines
    assert "# window_tokens = # default: from window_s and fps" in lines
    assert "# disk_bytes = # default: no limit" in lines
    tables = [line for line in lines if line.startswith("[")]
    assert tables == ["[take]", "[memory]", "[decoding]", "[capture]", "[serve]"]
    assert "# reconnects = # default: for ever" in lines


def test_show_names_the_file_that_would_be_read(
    capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert show(capsys)[1].splitlines()[0] == f"# {home} (not there)"
    home.parent.mkdir(parents=True)
    home.touch()
    assert show(capsys)[1].splitlines()[0] == f"# {home}"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.delenv("HOME", raising=False)
    assert show(capsys)[1].startswith("# no configuration file: ")
    assert json.loads(show(capsys, "--json")[1])["file"] is None


def test_show_as_json(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text("[take]\nfps = 2\n")
    code, out, _ = show(capsys, "--json", "--config", file)
    shown = json.loads(out)
    assert code == 0
    assert set(shown) == {"schema", "file", "values"}
    assert shown["schema"] == "longtake.config/1" and shown["file"] == str(file)
    assert list(shown["values"]) == KEYS
    assert shown["values"]["take.fps"] == {"value": 2.0, "origin": f"{file} line 2"}
    assert shown["values"]["take.top_k"] == {"value": None, "origin": "default"}


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_show_hides_logins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("LONGTAKE_MODEL", "https://anna:secret@hub/model?token=hidden")
    code, out, err = show(capsys, *words)
    assert code == 0, err
    assert "secret" not in out and "hidden" not in out
    assert "https://***@hub/model?token=***" in out
    if not words:
        assert "model" not in tomllib.loads(out), "saved, it would be another model"


def test_a_name_that_is_no_text_is_shown_but_not_saved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAKE_MODEL", os.fsdecode(b"mod\xe9l"))
    code, out, err = show(capsys)
    assert code == 0, err
    assert '# model = "mod\\xe9l"' in out
    assert "model" not in tomllib.loads(out)


def test_errors_of_configuration_end_with_3_on_one_line(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[take]\ntop_k = 0")
    monkeypatch.setenv("LONGTAKE_CONFIG", str(file))
    code, out, err = show(capsys)
    assert (code, out) == (cli.CONFIGURATION, "")
    assert err.startswith(f"longtake: {file} line 2 (take.top_k): top_k=0: ")
    assert len(err.splitlines()) == 1
    code, _, err = show(capsys, "--config", file.parent / "missing.toml")
    assert code == cli.CONFIGURATION and "missing.toml" in err


def test_help_needs_no_torch() -> None:
    loaded, out = imported_by("-m", "longtake", "config", "show", "--help")
    assert not loaded & {"torch", "transformers", "longtake.settings"}
    assert "--json" in out


def test_the_module_itself_needs_neither_torch_nor_pydantic() -> None:
    loaded, _ = imported_by("-c", "import longtake.config")
    assert "longtake.config" in loaded
    assert not loaded & {"torch", "pydantic"}


def imported_by(*words: str) -> tuple[set[str], str]:
    """What Python imports when run so, and its stdout."""
    command = [sys.executable, "-X", "importtime", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}, done.stdout


# ------------------------------------------------------------------ what is shown can be saved

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: "://" not in text
)
COUNT = st.integers(1, (1 << 63) - 1)
WORDS = st.lists(st.sampled_from(["10.0.0.0/8", "private", "cam.local"]), max_size=3).map(tuple)
HOSTS = st.lists(st.sampled_from(["cam.local", "10.0.0.7", "[::1]"]), max_size=3).map(tuple)
ORIGINS = st.lists(st.sampled_from(["https://a.local", "http://b:8080"]), max_size=2).map(tuple)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "model": TEXT,
    "device": TEXT,
    "dtype": TEXT,
    "quantize": st.sampled_from(["none", "4bit", "8bit"]),
    "memory.index": st.sampled_from(["auto", "exact", "faiss", "staged"]),
    "memory.codec": st.sampled_from(["raw", "int8", "kivi4", "kivi2"]),
    "memory.ladder": st.sampled_from(["none", "int8@1h,picture,gone@2d", "kivi2"]),
    "memory.back_pressure": st.sampled_from(["block", "degrade", "drop"]),
    "capture.preset": st.sampled_from(["low-latency", "robust", "udp"]),
    "capture.policy": st.sampled_from(["auto", "every", "newest"]),
    "capture.sampling": st.sampled_from(["fixed", "adaptive"]),
    "capture.connect_s": st.floats(0.1, 1e6),
    "capture.stall_s": st.floats(0.1, 1e6),
    "capture.backoff_s": st.floats(0, 1e6),
    "capture.still": st.floats(0, 1),
    "capture.scene": st.floats(0, 1),
    "memory.commit_s": POSITIVE,
    "take.fps": POSITIVE,
    "take.mode": st.sampled_from(["recall", "rekv", "streamingvlm", "window", "full"]),
    "take.select": st.sampled_from(["dependent", "blind"]),
    "take.recall": st.sampled_from(["model", "model,recent:2", "uniform:4"]),
    "take.scores": st.sampled_from(["plain", "centred", "centred:8"]),
    "take.diversity_s": POSITIVE,
    "take.window_s": POSITIVE,
    "decoding.temperature": POSITIVE,
    "decoding.repetition_penalty": POSITIVE,
    "decoding.top_p": st.floats(0, 1, exclude_min=True),
    "serve.host": TEXT.filter(str.strip),
    "serve.port": st.integers(0, 65535),
    "serve.max_upload_s": POSITIVE,
    "serve.allow_sources": WORDS,
    "serve.allow_hosts": HOSTS,
    "serve.allow_origins": ORIGINS,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved") / "config.toml"


@settings(max_examples=50, deadline=None)
@given(
    flags=st.fixed_dictionaries({}, optional={k: STRATEGIES.get(k, COUNT) for k in KEYS}),
    name=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=50),
)
def test_what_is_shown_and_saved_gives_the_same_settings(
    saved: Path, flags: dict[str, Any], name: str
) -> None:
    gathered = gather(None, {}, flags)
    text = as_toml(gathered, Path(name))
    saved.write_bytes(text.encode())
    again = gather(saved, {}, {})
    assert again.settings == gathered.settings
    lines = text.split("\n")
    for key, origin in again.origins.items():
        if origin == "default":
            assert flat(gathered.settings)[key] is None, f"{key} was not saved"
        else:
            number = int(origin.removeprefix(f"{saved} line "))
            assert lines[number - 1].startswith(f"{key.rpartition('.')[2]} = ")


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: holds more than 1048576 bytes"):
        gather(Path("/dev/zero"), {}, {})
