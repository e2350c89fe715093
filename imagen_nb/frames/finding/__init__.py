"""Finding pictures by meaning and by look: their vectors, and the search over them.

Other rooms use:
    computing: `embed_missing`, `missing_pictures` and `vectors_of_frame`
    looked_for: `query_vector`, one direction from what is wanted and what is not
    search: `find_pictures`, the best of a collection, with their scores
"""
