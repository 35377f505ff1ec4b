"""An ensemble of futures: a flow-matching diffusion transformer over arrival times, conditioned on cached features."""
