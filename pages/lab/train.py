"""The trainer: move a slider and see what changes."""

from ui import controls, live

live.panel("Train a network", controls.config())
