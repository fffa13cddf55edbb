"""What the atlas says of frameworks, asked of the frameworks themselves."""
