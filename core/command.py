"""What the commands of core/ have in common: how they are asked, and where they speak."""

import argparse
import sys


def parser(module: str, doc: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser for `python -m module`, whose help has the text of `doc` as it is written."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=doc,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def tell(words: str) -> None:
    """Print on stderr."""
    print(words, file=sys.stderr, flush=True)
