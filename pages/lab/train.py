"""The trainer page: the visitor moves a slider and sees what changes."""

from ui.trainer import controls, live, real, take_along

config = controls.config()
live.panel("Train a network", config)
take_along.offer(config)
real.offer(config)
