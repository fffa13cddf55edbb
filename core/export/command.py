"""Write a run as a script: `python -m core.export config.json --framework jax --out FOLDER`.

The file holds what differs from the trainer's defaults, as JSON, as `python -m core.run` takes it;
a preset may be named instead. The folder gets run.py, the same as run.ipynb, and what they read.
"""

from collections.abc import Sequence
from pathlib import Path

from core import command
from core.command import tell
from core.data import DataUnavailable
from core.export.frameworks import FRAMEWORKS, files, script
from core.run.command import add_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = command.parser("core.export", __doc__)
    add_config(parser)
    parser.add_argument("--framework", choices=[*FRAMEWORKS], default=next(iter(FRAMEWORKS)))
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    options = parser.parse_args(arguments)
    written = script(options.config, options.framework)
    try:
        contents = {
            "run.py": written.text.encode(),
            "run.ipynb": written.notebook.encode(),
            **files(options.config, options.framework),
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
