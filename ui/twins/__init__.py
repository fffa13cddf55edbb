"""The page of twins: which two, and what differs."""
