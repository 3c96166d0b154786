"""Who may know whom: every import in the rooms follows the map, read from the source with `ast`."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import longtake

ROOT = Path(__file__).resolve().parents[1]

# room -> the rooms it may import beside itself
ARROWS: dict[str, frozenset[str]] = {
    "ui": frozenset(),
    "streaming": frozenset(),
    "kernels": frozenset(),
    "models": frozenset({"kernels"}),
    "memory": frozenset({"kernels"}),
    "app": frozenset({"ui", "streaming", "kernels", "models", "memory"}),
}
# the command line knows every room of `app`; of them this alone knows it
KNOWS_THE_COMMAND_LINE = Path("app/__main__.py")
# what samples may import of ours: the public names, and the world the embedded model knows
SAMPLES_MAY = tuple(f"longtake.models.embedded.{m}" for m in ("world", "questions", "filming"))


def module_name(path: Path) -> str:
    """`memory/codecs/raw.py` -> `longtake.memory.codecs.raw`; `app/take.py` -> `longtake.take`."""
    parts = [*path.parent.parts, *([] if path.stem == "__init__" else [path.stem])]
    return ".".join(["longtake", *parts[parts[0] == "app" :]])


def imported(source: str, path: Path) -> Iterator[str]:
    """Full dotted names of everything `source` imports, as if it lay at `path` in the checkout.

    `from longtake.memory import chunk` gives `longtake.memory.chunk`.  Imports for type
    checkers alone count too, as does `import_module("...")` with the name spelt out.
    """
    package = module_name(path) if path.stem == "__init__" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            name = node.args[0]
            if called == "import_module" and isinstance(name, ast.Constant):
                yield str(name.value)


def room_of(name: str) -> str | None:
    """The room a dotted name lies in; None where it is not ours."""
    first, *rest = name.split(".")
    if first != "longtake":
        return None
    return rest[0] if rest and rest[0] in ARROWS else "app"


def wrong_imports(source: str, path: Path) -> list[str]:
    """What is wrong with the imports of `source`, a line each."""
    room = path.parts[0]
    wrong = []
    for name in imported(source, path):
        target = room_of(name)
        if name.split(".")[0] in ARROWS:
            wrong.append(f"{path}: imports {name}: write longtake.{name}")
        elif target is None:
            continue
        elif room == "samples":
            public = name == "longtake" or name.removeprefix("longtake.") in longtake.__all__
            if not public and not any(f"{name}.".startswith(f"{may}.") for may in SAMPLES_MAY):
                wrong.append(f"{path}: imports {name}: samples use the public face only")
        elif target != room and target not in ARROWS[room]:
            wrong.append(f"{path}: imports {name}: {room} may not know {target}")
        elif is_of_the_command_line(name) and not may_know_the_command_line(path):
            wrong.append(f"{path}: imports {name}: only app/cli and {KNOWS_THE_COMMAND_LINE} may")
    return wrong


def is_of_the_command_line(name: str) -> bool:
    return f"{name}.".startswith("longtake.cli.")


def may_know_the_command_line(path: Path) -> bool:
    return path.parts[:2] == ("app", "cli") or path == KNOWS_THE_COMMAND_LINE


def python_files() -> list[Path]:
    folders = [*ARROWS, "samples"]
    return sorted(p.relative_to(ROOT) for f in folders for p in (ROOT / f).rglob("*.py"))


def test_every_arrow_points_down() -> None:
    files = python_files()
    assert {path.parts[0] for path in files} >= set(ARROWS)
    wrong = [line for path in files for line in wrong_imports((ROOT / path).read_text(), path)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("memory/recall.py", "from longtake.models.base import Past"),
        ("memory/codecs/raw.py", "from ...models import base"),
        ("models/bridge.py", "import longtake.memory.chunk as chunk"),
        ("models/embedded/training.py", "from longtake import memory"),
        ("streaming/live.py", "def late():\n    from longtake.session import Session"),
        ("ui/live.py", "if TYPE_CHECKING:\n    from longtake.take import Take"),
        ("kernels/pool.py", "from longtake.memory.chunk import Chunk"),
        ("memory/store.py", "import importlib\nimportlib.import_module('longtake.models')"),
        ("app/take.py", "from streaming.frame import Frame"),
        ("app/bench/ask.py", "from longtake.cli.common import say"),
        ("app/bench/needle_streams.py", "from ..cli.flags import seconds"),
        ("app/doctor/machine.py", "def late():\n    from longtake import cli"),
        ("app/take.py", "import longtake.cli"),
        ("app/__init__.py", "from .cli import main"),
        ("memory/store.py", "from longtake.cli.common import say"),
        ("samples/ask.py", "from longtake.engine import Engine"),
        ("samples/ask.py", "from longtake.cli import main"),
        ("samples/ask.py", "from longtake.models.embedded import network"),
        ("samples/ask.py", "from longtake.models.embedded.worldly import x"),
    ],
)
def test_a_wrong_arrow_is_seen(path: str, source: str) -> None:
    assert len(wrong_imports(source, Path(path))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("app/session.py", "from longtake.memory.chunk import Chunk\nfrom .answer import Answer"),
        ("memory/codecs/kivi.py", "from longtake.kernels import pack\nfrom . import raw"),
        ("memory/__init__.py", "from .chunk import Chunk"),
        ("models/families/qwen.py", "from ..base import Adapter\nimport torch"),
        ("app/__main__.py", "from longtake.cli import main"),
        ("app/cli/bench.py", "from longtake.cli import flags\nfrom longtake.bench import ask"),
        ("app/take.py", "from longtake.climate import warm"),
        ("samples/ask.py", "import longtake\nfrom longtake import Engine, open"),
        ("samples/make.py", "from longtake.models.embedded.world import World"),
        ("samples/make.py", "from longtake.models.embedded import world, questions"),
    ],
)
def test_a_right_arrow_passes(path: str, source: str) -> None:
    assert wrong_imports(source, Path(path)) == []


def test_every_folder_with_code_is_a_named_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = set(project["tool"]["setuptools"]["packages"])
    there = {module_name(p.parent / "__init__.py") for p in python_files() if p.parts[0] in ARROWS}
    assert there == named


def test_the_version_is_told_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert longtake.__version__ == project["project"]["version"]


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_the_kind'"):
        _ = longtake.nothing_of_the_kind
