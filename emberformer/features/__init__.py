"""Frozen DINOv2 features of every fire frame and terrain raster, in one chunked Zarr store."""
