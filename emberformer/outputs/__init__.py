"""Outputs: one forecast of one fire as files that open in a GIS, a browser or a slide."""
