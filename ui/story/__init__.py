"""The pieces of which stories are made; any story can use any piece."""
