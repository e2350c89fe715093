"""The report: a history as one HTML page that needs no other file."""
