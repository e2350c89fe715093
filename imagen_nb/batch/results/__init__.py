"""What a batch has made: finished notebooks, scraps, the results page."""
