"""What a person works with in a notebook: gallery, comparison, panel."""
