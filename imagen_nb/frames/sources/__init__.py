"""Where a history comes from: the catalog, the API, the database."""
