"""Objects as boxes: burning fronts and spot fires of the features of a fire, smoke and flames of a camera's images."""
