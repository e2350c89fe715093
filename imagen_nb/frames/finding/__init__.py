"""Finding pictures by meaning and by look: their vectors, and the search over them.

Other rooms use:
    computing: `embed_missing`, `missing_pictures` and `vectors_of_frame`
    looked_for: `query_vector`, one direction from what is wanted and what is not
    search: `Search`, the best pictures of a history, with their scores
    in_frame: `similar_pictures` and `find_in_frame`, the best rows of a frame
    coverage: `describe_uncovered`, what the usual embedder does not know
"""
