"""PAIRS: recordings that come with the project."""

from dataclasses import dataclass
from pathlib import Path

from core.registry import Registry, Row

FOLDER = Path(__file__).parents[3] / "assets/recordings"
OWN = "own"


@dataclass(frozen=True, kw_only=True)
class Pair(Row):
    """Two recordings; none where the visitor brings them."""

    files: tuple[str, ...] = ()  # below FOLDER

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the files."""
        return tuple(FOLDER / f"{name}.safetensors" for name in self.files)


PAIRS = Registry(
    "pair of recordings",
    [
        Pair(key=OWN, label="your own"),
        Pair(
            key="question",
            label="an example: the question",
            summary="The question's network in JAX, with its clipped loss, and in Keras.",
            files=("question_jax", "question_keras"),
        ),
    ],
)
