"""What only the story of the convolutional network draws."""
