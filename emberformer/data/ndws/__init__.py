"""Next Day Wildfire Spread: 64 km x 64 km tiles of fire on two days in a row.

F. Huot et al., IEEE Transactions on Geoscience and Remote Sensing 60 (2022), https://doi.org/10.1109/TGRS.2022.3192974
"""
