"""Quantisation after training: eight-bit weights and activations."""
