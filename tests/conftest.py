"""Run the tests against this checkout, installed or not.

The folders at the top of the repository are the rooms of the package `longtake`
(`[tool.setuptools.package-dir]`); here Python gets the same map.  Where the tests
were copied away from the checkout, the installed `longtake` is tested instead.
"""

import importlib.util
import sys
from pathlib import Path

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

pytest_plugins = ["tests.models"]
