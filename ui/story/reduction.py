"""A batch's losses summed or averaged: a gradient as many times as large, under Adam and SGD."""

import streamlit as st

from core.config import RunConfig
from core.parts.optimizers import OPTIMIZERS
from core.study.reproduce import printed
from ui.story import predict
from ui.story.epochs import by_epoch
from ui.story.knobs import Knobs
from ui.story.scale import scale
from ui.story.twin import Twins, ends
from ui.story.watch import watch
from ui.story.what_if import what_if


def sum_or_mean(story: Knobs, twins: Twins, asked: RunConfig) -> None:
    """Which of the two ends ahead: a prediction, both runs beside the post's table, and SGD.

    Args:
      twins: the run that adds its losses up, and the one that takes their mean.
      asked: the run as the post has it.
    """
    options: dict[str | None, str] = {twin.label: f"The {twin.label}" for twin in twins}
    options[None] = "Neither: they end alike"
    guess = predict.predict(
        "reduction",
        f"The post adds up the losses of a batch of {asked.batch_size}. Take their mean instead, "
        "under Adam: which one ends ahead?",
        list(options.values()),
    )
    if guess is None:
        return
    st.markdown(
        "The post calls `opt_update(0, grads, opt_state)` at every step, which tells its Adam that "
        f"it is the first. So it is here. {OPTIMIZERS[asked.optimizer].summary}"
    )
    story.draw("seed")
    scale(story, asked)
    ended = watch(twins, key="reduction", predictions=False)
    by_epoch(twins, printed.MLP, asked)
    if ended:
        guess.judge(options[predict.highest(ends(twins))], predict.told(ends(twins)))
        st.markdown(
            "Adam divides each weight's gradient by the size that it has had lately, plus 1e-8: "
            "but for that a factor cancels. SGD takes the gradient as it is."
        )
        what_if("sgd", twins, {"optimizer": "sgd"}, "Under SGD, from the same weights?")
