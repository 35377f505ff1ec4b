"""Sim2Real-Fire: simulated fires, hour by hour, on LANDFIRE rasters of many scenes.

Y. Li et al., Sim2Real-Fire: a multi-modal simulation dataset for forecast and backtracking of real-world forest fire,
NeurIPS 2024, https://github.com/TJU-IDVLab/Sim2Real-Fire
"""
