"""EmberFormer: forecasts of wildfire spread from cached DINOv2 features."""

__version__ = "0.1.0"
