"""Charts as SVG, PNG or PDF: a program, because what converts them takes 90 MB and a while.

It reads JSON from standard input and writes the file to standard output. It needs
requirements-figures.txt, which nothing else does.
"""

import io
import json
import sys
from importlib.util import find_spec

from ui.charts.paper import SIZES, laid_out

FORMATS = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}
DOTS, POINTS = 300, 72  # of a PNG and of a PDF, to the inch


def installed() -> bool:
    """Whether this program can run here."""
    return find_spec("vl_convert") is not None


def main() -> None:
    """Convert what standard input says."""
    import vl_convert

    asked = json.load(sys.stdin)
    size = SIZES[asked["size"]]
    svgs = [vl_convert.vegalite_to_svg(spec) for spec in asked["specs"]]
    # A PNG is drawn with a dot, and a PDF with a point, for each unit of the SVG.
    to_the_inch = {"png": DOTS, "pdf": POINTS}.get(asked["format"])
    svg = laid_out(svgs, asked["titles"], asked["caption"], size, to_the_inch)
    if asked["format"] == "svg":
        made = svg.encode()
    elif asked["format"] == "pdf":
        made = vl_convert.svg_to_pdf(svg)
    else:
        made = _with_dots(vl_convert.svg_to_png(svg))
    sys.stdout.buffer.write(made)


def _with_dots(png: bytes) -> bytes:
    """Say in a PNG how many dots it has to the inch, so that it is placed in its own size."""
    from PIL import Image

    file = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(file, "PNG", dpi=(DOTS, DOTS), optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
