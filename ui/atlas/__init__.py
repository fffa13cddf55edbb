"""The atlas page: from which framework to which, what differs, and every default."""
