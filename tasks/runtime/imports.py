"""Imports that are large or take long."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def importing() -> Iterator[None]:
    """Turn the garbage collector off during imports, and exempt what they have made from it afterwards.

    Imports make nearly no garbage, and the collector would go through everything imported again and again:
    12 % of the CPU time of `import flows.commands.run`, with Prefect 3.9.1.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Inside the block, these modules import as empty stubs unless already loaded.

    A later import gets the real module. For a package that imports parts of itself that nobody here uses.
    """
    stubs = {name: ModuleType(name) for name in modules if name not in sys.modules}
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name in stubs:
            del sys.modules[name]
