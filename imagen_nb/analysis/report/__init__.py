"""The report: a history as one HTML page that needs nothing beside it."""
