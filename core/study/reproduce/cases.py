"""CASES: what is reproduced."""

from core.registry import Registry
from core.study.reproduce.finding import Case
from core.study.reproduce.full_mnist import full_mnist
from core.study.reproduce.gru import gru
from core.study.reproduce.jax_post import jax_post, jax_post_10
from core.study.reproduce.keep_or_drop import keep_or_drop, keep_or_drop_30
from core.study.reproduce.lasagne import lasagne
from core.study.reproduce.question import (
    band,
    collapse,
    gap,
    gradient_norms,
    question,
    seeds,
    start,
    swapped,
)

_QUESTION = "the JAX/Keras question"
_FACTS = "measured on JAX 0.10.2, Keras 3.15, TensorFlow 2.21, PyTorch 2.13, optax 0.2.8"

_POST = "Getting started with JAX (a post); the right axes measured on JAX 0.10.2"
_DROPPING = "the keep_prob question; its facts measured on TensorFlow 1.15 and Keras 3.15"

CASES = Registry(
    "case",
    [
        Case(key=key, label=label, summary=summary, reference=reference, run=run)
        for key, label, summary, reference, run in [
            (
                "question", "The question, and its fix",
                "One loss reaches 91%; the other's 79% is one draw of many.",
                f"{_QUESTION}; its facts {_FACTS}", question,
            ),
            (
                "seeds", "Ten seeds, every implementation",
                "From logits each seed gives one result; with a clip some seeds always collapse, "
                "and rounding decides the others.", _FACTS, seeds,
            ),
            (
                "swap", "Each with the other's weights",
                "The accuracy goes with the weights, whichever program evaluates them.", _QUESTION,
                swapped,
            ),
            (
                "start", "Before the first step",
                "Most predictions lie beyond the clip before any training.", _FACTS, start,
            ),
            (
                "gradient_norms", "The size of the gradients",
                "The exact loss starts with far larger steps.", _FACTS, gradient_norms,
            ),
            (
                "collapse", "A collapsed run",
                "Every sample is clipped and no gradient is left.", _FACTS, collapse,
            ),
            (
                "band", "The rounding band",
                "Initial weights nudged by one rounding change a chaotic result.", _FACTS, band,
            ),
            (
                "gap", "Where the gap vanishes",
                "Smaller pixels close the gap; smaller steps only narrow it.", _FACTS, gap,
            ),
            (
                "lasagne", "The epsilon that trades NaN for silence",
                "On raw pixels one loss has a gradient of NaN, the clipped one goes silent, and "
                "only the one from logits learns.",
                "Lasagne issue 567; its facts measured on Theano 0.8.2, Lasagne 0.1, Keras 0.3.3",
                lasagne,
            ),
            (
                "full_mnist", "Full MNIST",
                "A healthy network on all of MNIST.",
                "this project; the layers are those of Getting started with JAX (a post)",
                full_mnist,
            ),
            (
                "gru", "A GRU, and a loss that broadcasts",
                "The loss that compares each prediction with every target ends worse than copying "
                "the input, the aligned one better; the reused key changes the start.",
                "Getting started with JAX (a post); its facts measured on JAX 0.10.2", gru,
            ),
            (
                "keep_or_drop", "keep_prob 0.7 or rate 0.7",
                "Read as a rate, the same number starves the network; and two loops report two "
                "accuracies for the same training.", _DROPPING, keep_or_drop,
            ),
            (
                "jax_post", "Getting started with JAX",
                "The post's MLP and CNN learn as it printed; its CNN learns more once the axes "
                "of the pictures are corrected.", _POST, jax_post,
            ),
        ]
    ]
    + [
        Case(
            key="keep_or_drop_30",
            label="keep_prob 0.7 or rate 0.7, thirty epochs",
            summary="What is left of the difference after the whole question.",
            reference=_DROPPING,
            run=keep_or_drop_30,
            long=True,
        ),
        Case(
            key="jax_post_10",
            label="Getting started with JAX, ten epochs",
            summary="The best epoch of each network.",
            reference=_POST,
            run=jax_post_10,
            long=True,
        ),
    ],
)  # fmt: skip
