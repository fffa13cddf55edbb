"""How wide words are in Liberation Sans, the font of figures: as wide as in Arial."""

# Of the printable letters of ASCII, in thousandths of the font's size.
_WIDTHS = {
    191: "'", 222: "ijl", 260: "|", 278: " !,./:;I[\\]ft", 333: "()-`r", 334: "{}", 355: '"',
    389: "*", 469: "^", 500: "Jcksvxyz", 556: "#$0123456789?L_abdeghnopqu", 584: "+<=>~",
    611: "FTZ", 667: "&ABEKPSVXY", 722: "CDHNRUw", 778: "GOQ", 833: "Mm", 889: "%", 944: "W",
    1015: "@",
}  # fmt: skip
_OF_LETTER = {letter: width / 1000 for width, letters in _WIDTHS.items() for letter in letters}
_WIDEST = 1.0  # of others: an arrow


def width(words: str) -> float:
    """Return how wide words are, as a multiple of the font's size."""
    return sum(_OF_LETTER.get(letter, _WIDEST) for letter in words)


def wrapped(text: str, most: float) -> list[str]:
    """Return a text in lines of at most this width, broken at spaces, or within words longer."""
    lines = [""]
    for word in text.split():
        if lines[-1] and width(f"{lines[-1]} {word}") <= most:
            lines[-1] += f" {word}"
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            if lines[-1] and width(lines[-1] + letter) > most:
                lines += [""]
            lines[-1] += letter
    return lines
