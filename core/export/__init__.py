"""A run as a program of a framework: one file that needs nothing of ours."""

from core.export import real, recorded
from core.export.carried import data, weights
from core.export.frameworks import FRAMEWORKS, Framework, files, notebook, script
from core.export.real import REALS
from core.export.script import Script

__all__ = [
    "FRAMEWORKS", "REALS", "Framework", "Script", "data", "files", "notebook", "real", "recorded",
    "script", "weights",
]  # fmt: skip
