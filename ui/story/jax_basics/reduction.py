"""A batch's losses summed or averaged, under Adam and under SGD."""

import streamlit as st

from core.config import RunConfig
from core.parts.optimizers import OPTIMIZERS
from core.study.reproduce import printed
from ui.pieces import predict
from ui.story.epochs import by_epoch
from ui.story.knobs import Knobs
from ui.story.scale import scale
from ui.story.twin import Twins, ends
from ui.story.watch import watch
from ui.story.what_if import what_if


def sum_or_mean(story: Knobs, twins: Twins, full: RunConfig) -> None:
    """Ask which of the two ends ahead, draw both beside the post's figures, then ask about SGD.

    Args:
      twins: the run that adds up the losses, and the one that takes their mean.
      full: the run as the post trained it.
    """
    options: dict[str | None, str] = {twin.label: f"The {twin.label}" for twin in twins}
    options[None] = "Neither: they end alike"
    guess = predict.predict(
        "reduction",
        f"The post adds up the losses of a batch of {full.batch_size}. Take their mean instead, "
        "under Adam: which one ends ahead?",
        list(options.values()),
    )
    if guess is None:
        return
    st.markdown(
        "The post calls `opt_update(0, grads, opt_state)` at every step, which tells Adam that "
        f"every step is the first. The runs here do the same. {OPTIMIZERS[full.optimizer].summary}"
    )
    story.draw("seed")
    scale(story, full)
    ended = watch(twins, key="reduction", predictions=False)
    by_epoch(twins, printed.MLP, full)
    if ended:
        guess.judge(options[predict.highest(ends(twins))], predict.ends_sentence(ends(twins)))
        st.markdown(
            "Adam divides each weight's gradient by its size in recent steps plus 1e-8: but for "
            "the 1e-8, a constant factor cancels. SGD takes the gradient as it is."
        )
        what_if("sgd", twins, {"optimizer": "sgd"}, "Under SGD, from the same weights?")
