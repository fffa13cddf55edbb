"""Write a run as a script: `python -m core.export config.json --framework jax --out FOLDER`.

The file holds what differs from the trainer's defaults, as JSON, as `python -m core.run` takes it;
a preset may be named instead. The folder gets run.py, the same as run.ipynb, and what they read.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from core.data import DataUnavailable
from core.export.frameworks import FRAMEWORKS, files, script
from core.presets import PRESETS
from core.run.command import BAD_SETTINGS, asked, tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m core.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", help=f"a file, or one of {', '.join(PRESETS)}")
    parser.add_argument("--framework", choices=[*FRAMEWORKS], default=next(iter(FRAMEWORKS)))
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    options = parser.parse_args(arguments)
    try:
        config = asked(options.config)
    except (ValueError, OSError) as error:
        tell(f"{options.config}: {error}")
        return BAD_SETTINGS
    written = script(config, options.framework)
    try:
        contents = {
            "run.py": written.text.encode(),
            "run.ipynb": written.notebook.encode(),
            **files(config, options.framework),
        }
        options.out.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (options.out / name).write_bytes(content)
    except (DataUnavailable, OSError) as error:
        tell(str(error))
        return 1
    for fault in written.cannot:
        tell(f"not the same: {fault}")
    return 0
