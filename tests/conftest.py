"""Run the tests against this checkout, installed or not.

The folders at the top of the repository are the rooms of the package `longtake`
(`[tool.setuptools.package-dir]`); here Python gets the same map.  Where the tests
were copied away from the checkout, the installed `longtake` is tested instead.
"""

import importlib.util
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def map_checkout(root: Path) -> None:
    """Make `import longtake` mean `root`; its rooms are found beside `app/`."""
    spec = importlib.util.spec_from_file_location(
        "longtake",
        root / "app" / "__init__.py",
        submodule_search_locations=[str(root / "app"), str(root)],
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["longtake"] = module
    spec.loader.exec_module(module)


if (ROOT / "app" / "__init__.py").exists():
    map_checkout(ROOT)

# What was started in the background ignores Ctrl-C and passes that on; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.models", "tests.modes"]


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Neither variables nor a configuration file of whoever runs the tests."""
    for name in [n for n in os.environ if n.startswith("LONGTAKE_") and n != "LONGTAKE_MEDIA"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-configuration"))


@pytest.fixture(autouse=True)
def log_is_heard() -> None:
    """The command line decides what is logged; every test begins with all of it."""
    logger = logging.getLogger("longtake")
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()
