"""Digits as pictures."""

import base64
import io

import numpy as np
from PIL import Image


def contact_sheet(images: np.ndarray, columns: int = 12) -> np.ndarray:
    """uint8 [k, 784] as one picture, ink on paper, `columns` a row, four pixels a pixel."""
    blank = np.zeros((-len(images) % columns, 784), np.uint8)
    tiles = np.concatenate([images, blank]).reshape(-1, columns, 28, 28)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (2, 2), (2, 2)))
    sheet = tiles.transpose(0, 2, 1, 3).reshape(len(tiles) * 32, columns * 32)
    return 255 - sheet.repeat(4, axis=0).repeat(4, axis=1)


def data_url(image: np.ndarray) -> str:
    """uint8 [784] as a PNG inside an address, ink on paper: about 400 characters."""
    png = io.BytesIO()
    Image.fromarray(255 - image.reshape(28, 28)).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
