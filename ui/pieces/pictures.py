"""Digits as pictures."""

import base64
import io

import numpy as np
from PIL import Image


def data_url(image: np.ndarray) -> str:
    """Return a digit, uint8 [784], as a PNG in a data URL, ink on paper: about 400 characters."""
    return picture_url(255 - image.reshape(28, 28))


def picture_url(pixels: np.ndarray) -> str:
    """Return a picture, uint8 [height, width] or [height, width, 3], as a data URL."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
