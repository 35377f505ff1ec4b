"""EmberFormer: forecasts of wildfire spread from cached DINOv2 features."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("emberformer")  # that of git's tags, when the package was installed
except PackageNotFoundError:  # run from a folder of sources
    __version__ = "0+unknown"
