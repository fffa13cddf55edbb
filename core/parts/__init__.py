"""The rows a run is made of: models, dropout, optimizers, losses and the small choices."""
