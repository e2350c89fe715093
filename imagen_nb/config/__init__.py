"""Settings: arguments, environment, imagen.yaml and defaults, in this order."""
