"""What other packages can add to frames: embedders, scorers and exporters.

Each module has the contract of one kind, as a protocol, and what finds them by name.
docs/plugins.md shows how to write one; `sharpness`, `imagefolder`, `kohya`, `webdataset`
and `parquet` are our own, and registered as those of others are.
"""
