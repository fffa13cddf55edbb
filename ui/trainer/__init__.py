"""The trainer: its controls, its live panel, and what is kept and measured of its runs."""
