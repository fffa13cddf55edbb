"""Digits as pictures."""

import base64
import io

import numpy as np
from PIL import Image


def data_url(image: np.ndarray) -> str:
    """uint8 [784] as a PNG inside an address, ink on paper: about 400 characters."""
    return picture_url(255 - image.reshape(28, 28))


def picture_url(pixels: np.ndarray) -> str:
    """A picture as it is, uint8 [height, width] or [height, width, 3], as an address."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
