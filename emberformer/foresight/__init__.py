"""Foresight: how far ahead cached features can be predicted, by what, and what that says of the fire."""
