"""EmberFormer's network, one concept a file."""
