"""The trainer page: the visitor moves a slider and sees what changes."""

from ui.trainer import controls, live, real, take_along, teach

TITLE = "Train a network"
config = controls.config()
guess = teach.asked(TITLE, config)
live.panel(TITLE, config)
teach.judge(guess)
take_along.offer(config)
real.offer(config)
teach.offer(config)
