"""FLUX on this machine: models, weights, memory plans and drawing."""
