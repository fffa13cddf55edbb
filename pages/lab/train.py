"""The trainer page: the visitor moves a slider and sees what changes."""

from ui.trainer import controls, live

live.panel("Train a network", controls.config())
