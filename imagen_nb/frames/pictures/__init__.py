"""The pictures of a frame: where they are, and what is done with many of them.

`locate` finds their files; `contact_sheet`, `diff`, `download`, `duplicates`, `export`,
`score` and `signed_urls` each serve the method of `df.imagen` of that name,
with several pictures at once by `parallel`, decoded by `batches`.
"""
