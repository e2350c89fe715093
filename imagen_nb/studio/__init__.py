"""The session that wires requests, backends, files, catalog, cloud and history."""
