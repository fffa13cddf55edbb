"""What only the story of Lasagne's epsilon draws."""
