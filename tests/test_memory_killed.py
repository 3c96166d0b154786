"""`longtake memory purge`, `gc`, `export` and `verify --rebuild`, killed while they change files.

Real processes, killed before a change of a file, at each of them in turn in the long form; what
they leave is a memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from longtake import cli
from longtake.memory.config import MemoryConfig
from longtake.memory.store import Store
from longtake.memory.verify import verify
from tests.chunks import MODEL, vectors_of
from tests.memories import contents, smooth

ROOT = Path(__file__).resolve().parents[1]
SMALL = MemoryConfig(segment_bytes=2000, ram_bytes=0)
NUMBERS = range(7)

PROGRAM = """
import json, os, runpy, shutil, signal, sys
from pathlib import Path

root, base, every, *words = sys.argv[1:]
sys.path.insert(0, root)
runpy.run_path(root + "/tests/conftest.py")  # maps `longtake` like the test run's own
from longtake import cli
from longtake.cli import flags
from longtake.memory import database, files, exporting, importing, rebuild, store, verify

if words[0] == "gc":
    flags.settings({})  # what children would import, each for itself

CALLS = ("write_all", "truncate", "sync_data", "erase", "unlink", "rename", "sync_folder")

def dying(call, left):
    def instead(*given, **named):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **named)
    return instead

ends = []
for step in range(1, 400, int(every)):
    folder = Path(f"{base}-{step}")
    shutil.copytree(base, folder)
    child = os.fork()
    if child == 0:
        left = [step]
        for name in CALLS:
            setattr(files, name, dying(getattr(files, name), left))
        os.replace, os.link = dying(os.replace, left), dying(os.link, left)
        database.transaction = dying(database.transaction, left)
        given = [word.replace("FOLDER", str(folder)) for word in words]
        os._exit(cli.main(["memory", *given, "-q"]))
    _, status = os.waitpid(child, 0)
    ends.append((folder.name, os.waitstatus_to_exitcode(status)))
    if ends[-1][1] != -signal.SIGKILL:
        break
print(json.dumps(ends))
"""


EVERY = [23, pytest.param(1, marks=pytest.mark.long)]  # step


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A memory of seven chunks in several segments, with pictures and a caption."""
    with Store.open(tmp_path / "m", **MODEL, config=SMALL) as store:
        for number in NUMBERS:
            store.put(smooth(number), vectors_of(smooth(number)))
            store.album.put(number, np.full((9, 12, 3), number, np.uint8))
        store.album.add_caption(2.2, 2.4, "what was said of it")
        store.sync()
    return tmp_path / "m"


def killed(base: Path, every: int, *words: str) -> list[Path]:
    """Copies of a memory, each with the command killed some steps later; the last one it ended."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT), str(base), str(every), *words],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    assert ends[-1][1] == 0 and len(ends) > 1, (ends, done.stderr)
    return [base.with_name(name) for name, _ in ends]


def assert_whole(folder: Path, numbers: set[int]) -> None:
    """These chunks, each as it was, or nearly where it aged."""
    with Store.open(folder, **MODEL, config=SMALL) as store:
        assert {info.number for info in store.infos()} == numbers
        for number in numbers:
            found, was = store.read(number), smooth(number)
            torch.testing.assert_close(found.keys, was.keys, atol=0.1, rtol=0.1)
            assert store.album.jpeg(number) is not None
        assert store.stats().corrupt == 0
    assert verify(folder).is_sound


@pytest.mark.parametrize("every", EVERY)
def test_a_purge_that_was_killed_is_finished_by_the_next(base: Path, every: int) -> None:
    words = ("--from", "2", "--to", "3.9", "--yes")
    everyone, left = set(NUMBERS), set(NUMBERS) - {2, 3}
    secrets = [smooth(2).keys[0].numpy().tobytes(), b"what was said of it"]
    seen = []
    for folder in killed(base, every, "purge", "FOLDER", *words):
        with Store.open(folder, **MODEL, config=SMALL) as store:
            numbers = {info.number for info in store.infos()}
        assert numbers in (everyone, left)
        seen.append(numbers)
        assert_whole(folder, numbers)
        if numbers == left:  # opening has finished it
            assert not any(secret in b"".join(contents(folder).values()) for secret in secrets)
        assert cli.main(["memory", "purge", str(folder), *words, "-q"]) == 0
        assert_whole(folder, left)
        assert not any(secret in b"".join(contents(folder).values()) for secret in secrets)
    assert seen[0] == everyone and seen[-1] == left


@pytest.mark.parametrize("every", EVERY)
def test_a_gc_that_was_killed_leaves_every_chunk(base: Path, every: int) -> None:
    config = base.parent / "config.toml"
    config.write_text('[memory]\nladder = "int8@1s"\nsegment_bytes = 2000\n')
    flags = ("--config", str(config))
    for folder in killed(base, every, "gc", "FOLDER", *flags):
        assert verify(folder).is_sound
        assert_whole(folder, set(NUMBERS))
        assert cli.main(["memory", "gc", str(folder), *flags, "-q"]) == 0
        assert_whole(folder, set(NUMBERS))
        with Store.open(folder, **MODEL, config=SMALL) as store:
            assert store.rungs()["int8"] > 2


@pytest.mark.parametrize("every", EVERY)
def test_a_rebuild_that_was_killed_leaves_what_can_be_opened_or_rebuilt(
    base: Path, every: int
) -> None:
    for folder in killed(base, every, "verify", "FOLDER", "--rebuild"):
        assert_whole(folder, set(NUMBERS))
    (base / "catalog.sqlite").write_bytes(b"not a database at all" * 400)
    for folder in base.parent.glob("m-*"):
        folder.rename(folder.with_name(f"before{folder.name}"))
    for folder in killed(base, every, "verify", "FOLDER", "--rebuild"):
        assert cli.main(["memory", "verify", str(folder), "--rebuild", "-q"]) == 0
        assert_whole(folder, set(NUMBERS))


@pytest.mark.parametrize("every", EVERY)
def test_an_export_that_was_killed_is_none_and_harms_nothing(base: Path, every: int) -> None:
    before = contents(base)
    *cut, done = killed(base, every, "export", "FOLDER", "FOLDER-out")
    for folder in cut:
        out = Path(f"{folder}-out")
        is_whole = (out / "memory.json").exists()  # killed when it had its name
        code = cli.main(["memory", "import", str(out), str(folder) + "-new", "-q"])
        assert code == (0 if is_whole else 3)
        assert {name: contents(folder)[name] for name in before} == before
        if out.exists() and any(out.iterdir()):
            assert cli.main(["memory", "export", str(folder), str(out), "-q"]) == 3
        assert cli.main(["memory", "export", str(folder), str(out), "--force", "-q"]) == 0
        left = {name for name in contents(out) if not name.startswith("pictures/")}
        assert left == {"memory.json", "chunks-000000.safetensors"}
    assert cli.main(["memory", "import", f"{done}-out", f"{done}-new", "-q"]) == 0
    assert_whole(Path(f"{done}-new"), set(NUMBERS))


@pytest.mark.parametrize("every", EVERY)
def test_an_import_that_was_killed_is_no_memory(base: Path, every: int) -> None:
    assert cli.main(["memory", "export", str(base), f"{base}out", "-q"]) == 0
    for folder in killed(base, every, "import", f"{base}out", "FOLDER-new"):
        new = Path(f"{folder}-new")
        if new.exists():
            assert_whole(new, set(NUMBERS))
        else:
            assert cli.main(["memory", "import", f"{base}out", str(new), "-q"]) == 0
            assert_whole(new, set(NUMBERS))
