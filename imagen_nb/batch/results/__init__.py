"""Results of a batch: executed notebooks, the table, thumbnails and the page."""
