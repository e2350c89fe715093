"""What is kept of a picture on this machine: record, files, catalog, outbox, tags."""
