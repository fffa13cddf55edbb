"""The story of a GRU whose loss compares each prediction with every target."""

import streamlit as st

from core.parts.choices import TASKS
from core.study.series import POST
from ui.draw import code
from ui.story import predict, series
from ui.story.chapters import chapter, section
from ui.story.diagnosis import diagnoses
from ui.story.knobs import knobs
from ui.story.onward import onward
from ui.story.parting import parting
from ui.story.twin import twins
from ui.story.watch import watch
from ui.story.what_if import copying_beaten

story = knobs("gru", ("noise", "sigma", "tau", "mu", "dt", "seed", "learning_rate"), POST)
ways = {"the post's loss": {}, "aligned": {"loss": "mse_aligned"}}
pair = post, aligned = twins(story.config, ways)
options = [series.BETTER, series.SAME, series.WORSE]

st.title("A loss that nobody meant", anchor=False)
chapter("puzzle", "The loss falls, and nobody looks at what it compares")
st.markdown(
    "A post builds a GRU in JAX. It is given a noisy value of a series, an Ornstein-Uhlenbeck "
    "process, and asked for the next true one: it should follow the series, and without the noise. "
    "The printed error falls from 0.65 to about 0.10. *It appears that the denoising overshoots a "
    "little*, the post says of its plot, and that the smoothing is the desired behaviour."
)
code(series.LOSS)
chapter("predict", "How near to the truth does it come?")
asks = "The next value could also be answered by a copy of the noisy one. Beside that copy, it is:"
guess = predict.predict("gru", asks, options)
if guess is None:
    st.stop()
chapter("watch", "Two losses, from the same weights")
story.draw("noise", "sigma", "tau")
story.draw("mu", "dt", "seed", "learning_rate")
if not watch(pair):
    st.stop()
guess.judge(series.nearer(post), series.measured(pair))
chapter("inside", "Who is compared with whom")
series.comparisons(pair)
diagnoses(pair, "gru_step", at=1.0)
section("Where they part")
parting(post, aligned)
chapter("cause", "Two shapes, and a third that nobody wrote")
st.markdown(
    "`lax.scan` stacks time first, so the network returns (time, batch, 1); the targets are "
    "(batch, time). NumPy's rules put an axis before the targets and stretch both. Here is the "
    "post's line, run on this server, and what `explain_shapes` says of it:"
)
series.shapes(TASKS[POST.task].outputs, POST.batch_size)
chapter("fix", "Give both one shape, by a loss that insists on it")
code("""preds = np.moveaxis(gru_rnn(params, inputs)[..., 0], 0, 1)      # (batch, time)
loss  = optax.losses.squared_error(preds, targets).mean()    # raises if shapes differ""")
chapter("break", "Is it only a matter of larger steps?")
copying_beaten("gru_steps", pair, {"learning_rate": 1e-3}, "Both with steps ten times as large?")
section("And a key that was used three times")
st.markdown(
    "The post splits one and the same key for each of the three gates, so that they start with "
    "equal weights. Does it matter in the end? Both with the aligned loss."
)
series.gates(aligned.config)
series.key_reuse(aligned.config)
lessons = [
    "A loss that falls says that something is learnt, not that it is what you meant.",
    "Two shapes that differ can fit by NumPy's rules: no error is raised.",
    "A baseline that learns nothing, here a copy of the input, shows what a number is worth.",
    "A random key is used once. Reused keys make equal weights, and no error either.",
]
onward("gru", post, aligned, "Look at the shape before the mean", lessons)
