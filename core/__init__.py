"""The engine: everything true without a screen."""
