"""Where a history is loaded from: the catalogs, the API, the database.

`source` chooses among them: `local.CatalogSource`, `remote.ApiSource` and
`direct.DatabaseSource` are each a `source.TableSource`. `usage` reads the table of
another program that says what prompts were used for.
"""
