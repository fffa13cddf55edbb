"""PAGES: every page, its place in the navigation, and what it is for.

No page is named anywhere else; ui/main.py and the home page read this table. Nothing heavy is
imported here, because app.py imports it before the server listens.
"""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core.registry import Registry, Row

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Page(Row):
    """A page; `key` is its address."""

    section: str
    file: str  # below ROOT
    icon: str

    @property
    def path(self) -> Path:
        """The path of its script. Absolute: Streamlit looks for others beside the main script."""
        return ROOT / self.file


PAGES = Registry(
    "page",
    [
        Page(
            key="train",
            label="Train a network",
            summary="Press Train, move a slider, see what changes: loss, accuracy, saturation, "
            "gradients.",
            section="Lab",
            file="pages/lab/train.py",
            icon=":material/model_training:",
        ),
        Page(
            key="microscope",
            label="A loss under the microscope",
            summary="Every framework's cross-entropy against the logit: where its gradient is "
            "exactly 0, NaN, or half of what it should be.",
            section="Lab",
            file="pages/lab/microscope.py",
            icon=":material/biotech:",
        ),
        Page(
            key="twins",
            label="Take two apart",
            summary="Any two runs side by side: do they differ first in the weights, the batch, or "
            "from some step on? Which images make it so, and how much of it is chance?",
            section="Lab",
            file="pages/lab/twins.py",
            icon=":material/difference:",
        ),
        Page(
            key="sweep",
            label="Sweep",
            summary="Hundreds of small runs over seeds, learning rates, losses and formats: where "
            "training works, and how often.",
            section="Lab",
            file="pages/lab/sweep.py",
            icon=":material/grid_on:",
        ),
        Page(
            key="atlas",
            label="The atlas of defaults",
            summary="From Keras to PyTorch, or any other two: which defaults differ, what each "
            "does to a small network, and the line that makes both the same.",
            section="Lab",
            file="pages/lab/atlas.py",
            icon=":material/map:",
        ),
        Page(
            key="compare",
            label="Is it happening to you?",
            summary="Record the first steps of your own two programs: where they part, and which "
            "piece of which framework explains it. Or bring logits and labels: which losses would "
            "train on them.",
            section="Lab",
            file="pages/lab/compare.py",
            icon=":material/compare_arrows:",
        ),
        Page(
            key="jax_vs_keras",
            label="Story: 79% or 91%?",
            summary="The same network in JAX and in Keras, from the same weights. In one of them, "
            "half of the images are wrong and silent.",
            reference="the JAX/Keras question",
            section="Stories",
            file="pages/stories/jax_vs_keras.py",
            icon=":material/call_split:",
        ),
        Page(
            key="keep_or_drop",
            label="Story: 98% or 96%?",
            summary="The same network with the same dropout of 0.7, in TensorFlow and in Keras: "
            "two different results, every time.",
            reference="the keep_prob question",
            section="Stories",
            file="pages/stories/keep_or_drop.py",
            icon=":material/filter_alt:",
        ),
        Page(
            key="epsilon",
            label="Story: NaN or silence?",
            summary="An epsilon that keeps a loss finite, and what it costs: a NaN that everybody "
            "sees becomes a gradient of exactly 0 that nobody sees.",
            reference="Lasagne issue 567",
            section="Stories",
            file="pages/stories/epsilon.py",
            icon=":material/volume_off:",
        ),
        Page(
            key="jax_basics",
            label="Story: What does out hold?",
            summary="jit, grad, vmap and a product as live cells, and two lines of a well-read "
            "introduction that run and never do what they say.",
            reference="Getting started with JAX (a post)",
            section="Stories",
            file="pages/stories/jax_basics.py",
            icon=":material/data_object:",
        ),
        Page(
            key="jax_cnn",
            label="Story: What does a filter look at?",
            summary="A convolutional network that takes the columns of a digit for channels, and "
            "still gets 98% right. Its twin has the axes in the right order.",
            reference="Getting started with JAX (a post)",
            section="Stories",
            file="pages/stories/jax_cnn.py",
            icon=":material/view_week:",
        ),
        Page(
            key="gru",
            label="Story: A loss that nobody meant",
            summary="A recurrent network learns the next value of a noisy series. Its loss falls, "
            "and it ends further from the truth than a copy of its input.",
            reference="Getting started with JAX (a post)",
            section="Stories",
            file="pages/stories/gru.py",
            icon=":material/show_chart:",
        ),
    ],
)


def navigation() -> dict[str, list[StreamlitPage]]:
    """Return the pages as `st.navigation` takes them, the home page first."""
    sections = {"": [st.Page(ROOT / "pages/home.py", title="Same(?) net", default=True)]}
    for row in PAGES.values():
        page = st.Page(row.path, title=row.label, icon=row.icon, url_path=row.key)
        sections.setdefault(row.section, []).append(page)
    return sections
