"""The story of a GRU whose loss compares each prediction with every target."""

import streamlit as st

from core.parts.choices import TASKS
from core.study.series import POST
from ui.pieces import predict
from ui.pieces.draw import code
from ui.story import series
from ui.story.chapters import chapter, section
from ui.story.diagnosis import diagnoses
from ui.story.knobs import knobs
from ui.story.onward import onward
from ui.story.parting import parting
from ui.story.twin import twins
from ui.story.watch import watch
from ui.story.what_if import copying_beaten

story = knobs("gru", ("noise", "sigma", "tau", "mu", "dt", "seed", "learning_rate"), POST)
variants = {"the post's loss": {}, "aligned": {"loss": "mse_aligned"}}
pair = post, aligned = twins(story.config, variants)
options = [series.BETTER, series.SAME, series.WORSE]

st.title("A loss that nobody meant", anchor=False)
chapter("puzzle", "The loss falls, and nobody looks at what it compares")
st.markdown(
    "A post builds a GRU in JAX. At each time the network gets a noisy value of a series, an "
    "Ornstein-Uhlenbeck process, and predicts the next value without the noise. "
    "The printed error falls from 0.65 to about 0.10. *It appears that the denoising overshoots a "
    "little*, the post says of its plot, and that the smoothing is the desired behaviour."
)
code(series.LOSS)
chapter("predict", "How near to the truth are its predictions?")
asks = "A copy of the noisy value is a prediction, too. Compared with it, the post's network ends:"
guess = predict.predict("gru", asks, options)
if guess is None:
    st.stop()
chapter("watch", "Two losses, from the same weights")
story.draw("noise", "sigma", "tau")
story.draw("mu", "dt", "seed", "learning_rate")
if not watch(pair):
    st.stop()
guess.judge(series.nearer(post), series.errors_sentence(pair))
chapter("inside", "Which prediction is compared with which target")
series.comparisons(pair)
diagnoses(pair, "gru_step", at=1.0)
section("When they begin to differ")
parting(post, aligned)
chapter("cause", "Two shapes that NumPy stretches to a third")
st.markdown(
    "`lax.scan` puts time first, so the network returns (time, batch, 1); the targets are "
    "(batch, time). NumPy gives the targets a third axis, in front, and stretches both. Here "
    "`explain_shapes` tells what happens in the post's line, run on this server:"
)
series.shapes(TASKS[POST.task].outputs, POST.batch_size)
chapter("fix", "Give both the same shape, and use a loss that raises if they differ")
code("""preds = np.moveaxis(gru_rnn(params, inputs)[..., 0], 0, 1)      # (batch, time)
loss  = optax.losses.squared_error(preds, targets).mean()    # raises if shapes differ""")
chapter("break", "Is the learning rate to blame?")
asks = "What if both train at a learning rate of 0.001?"
copying_beaten("gru_steps", pair, {"learning_rate": 1e-3}, asks)
section("A second fault: a random key that is used three times")
st.markdown(
    "The post splits the same key for each of the three gates, so all three start with equal "
    "weights. Does it matter after training? Below, both ways train with the aligned loss."
)
series.gates(aligned.config)
series.key_reuse(aligned.config)
lessons = [
    "A loss that falls shows that something is learnt, not that it is what you meant.",
    "Two different shapes can still fit by NumPy's rules, and then no error is raised.",
    "Compare a result with a baseline that learns nothing, here a copy of the input.",
    "Use a random key only once. A reused key gives equal weights, and raises no error either.",
]
onward("gru", post, aligned, "Look at the shape before the mean", lessons)
