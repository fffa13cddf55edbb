"""Published figures, measured again: a case each, and the command that runs them."""
