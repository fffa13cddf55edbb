"""Published figures, measured again: the cases, and the command that runs them."""
