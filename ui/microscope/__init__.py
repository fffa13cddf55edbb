"""The microscope: why a loss stops learning."""
