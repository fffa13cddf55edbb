"""A RunConfig in, snapshots out."""
