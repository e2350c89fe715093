"""One example of each kind of plug-in that imagen_nb takes."""
