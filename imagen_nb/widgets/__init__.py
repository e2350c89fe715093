"""What a person works with in a notebook: gallery, comparison, duel, panel, `df.imagen`.

Other rooms use:
    accessor: `register_accessor_with_pandas`, which makes `df.imagen` available
    compare: `Compare`, two to nine pictures
    duel: `Duel`, which of two pictures is better
    gallery: `Gallery`, a history
    panel: `Panel`, controls to draw with
"""
