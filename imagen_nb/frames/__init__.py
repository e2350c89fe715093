"""The history as DataFrames: imagen.images, or the local catalog, into pandas."""
