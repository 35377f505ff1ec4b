"""What a trained network looks at, and where it fails: tables and pictures, from the network and its forecasts."""
