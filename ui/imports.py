"""Import at once, and first, all that a page, a thread or a library would import late.

Late imports in one visitor's thread broke others: Altair found a half-made pandas, and while
tensorflow_datasets is being imported, any `import` of the process may give a stand-in.
tests/served/test_slow_host.py finds what is missing here.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

import core
import ui
from ui.streamlit_privates import LATE_MODULES

SWAPPING = ["tensorflow_datasets"]  # replace builtins.__import__ while they are imported
LIBRARIES = [
    *SWAPPING,
    "tensorflow_datasets.core.data_sources.array_record",
    "tensorflow_datasets.core.download.downloader",
    "tensorflow_datasets.core.hashing",
    "tensorflow_datasets.core.shuffle",
    "array_record.python.array_record_data_source",
    "importlib_resources",
    "requests",
    "encodings.idna",  # looking up a host
    "jaxlib.mlir.dialects.builtin",  # lowering the first program
    "jaxlib.mlir.dialects.mhlo",
    "tree",
    "pandas",
    "altair",
    "narwhals._interchange.dataframe",
    "pyarrow.pandas_compat",
    "pyarrow.vendored.version",
    "encodings.cp437",  # the names inside an .npz
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    *LATE_MODULES,
]

_lock = threading.Lock()


def load(names: Sequence[str] = ()) -> None:
    """Import these modules, or all that there are; a second caller waits for the first.

    A package that is not installed is reported by the feature that needs it.
    """
    with _lock:
        for name in names or _all():
            with suppress(ImportError):
                import_module(name)


@cache
def _all() -> list[str]:
    own = [*walk_packages(core.__path__, "core."), *walk_packages(ui.__path__, "ui.")]
    cluster = ["distributed"] if os.environ.get("SAMENET_SCHEDULER") else []
    return [*LIBRARIES, *cluster, *(module.name for module in own)]
