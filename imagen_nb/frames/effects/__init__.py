"""Which setting matters: effects of settings within pictures of one prompt and seed.

Other rooms use:
    estimating: `estimate_effects`, of a frame, as a frame with sentences
    describing: `describe_move`, what was changed, and `LEVEL`, what is seen
    outcomes: `star_ratings`, the stars of each row, and names of what is compared
    record_settings: `load_record_settings`, what only records have of each row
    summary: `untold_lines`, what cannot be told
"""
