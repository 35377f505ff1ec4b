"""Rival networks, trained and scored as EmberFormer is, one a file; none of them reads cached features."""
