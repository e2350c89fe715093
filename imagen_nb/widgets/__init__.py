"""What a person works with in a notebook: gallery, comparison, panel, `df.imagen`.

Other rooms use:
    accessor: `register_accessor_with_pandas`, which makes `df.imagen` available
    compare: `Compare`, two to nine pictures
    gallery: `Gallery`, a history
    panel: `Panel`, controls to draw with
"""
