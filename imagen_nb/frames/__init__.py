"""The history as DataFrames: imagen.images, or the local catalogs, into pandas.

Other rooms use:
    moments: `Moment`, and `local_times` of a column of times
    votes: `votes_frame`, votes as rows
    words: `SearchWords`, and `parse_search_words` from what a user types
    lineage: `FamilySearch`, what pictures were drawn from
    families: `find_parents`, `families_frame`, the families of many pictures
    prompt_search: `PromptSearch`, which finds words in a million prompts
    query: `make_query` from the arguments of `Studio.history`; `is_uuid`
    schema: `history_table`, `history_frame`, `require_columns`, `json_rows`, and values
        parsed back
    sources.source: `History`, the pictures of a session from the cloud, here, or both
    sources.details: `load_record_details`, what only records have
    sources.usage: `with_usage`, what prompts were used for elsewhere
    effects.describing: `describe_move`, what was changed, and `LEVEL`, what is seen
    effects.estimating: `estimate_effects`, what each setting does, with sentences
    effects.outcomes: `star_ratings`, and names of what is compared
    effects.record_settings: `load_record_settings`, what only records hold
    effects.summary: `untold_lines`, what cannot be told
    finding.computing: `embed_missing` and `vectors_of_frame`, what pictures lack computed
    finding.looked_for: `query_vector`, from what is wanted and what is not
    finding.coverage: `describe_uncovered`, what the usual embedder does not know
    finding.in_frame: `similar_pictures` and `find_in_frame`, the best rows of a frame
    finding.search: `Search`, the best of a history, with scores
    judging.agreement: `measure_agreement`, of votes, ratings, keepers and voters
    judging.certainty: `certainty` and `is_certain`, of an order
    judging.comparisons: `ids_of_rows` and `with_distinct_ids`, a frame's pictures
    judging.duel: `begin_duel`, all votes of a duel and what they tell
    judging.pairs: `next_pair`, the pair that teaches most
    judging.ranking: `rank`, `rank_by`: strengths by votes, stars or a column
    judging.strengths: `fit`, strengths of what was compared
    mapping.clusters: `add_clusters`, `cluster_numbers`, by k-means of vectors;
        `has_vector`, which rows are vectors
    mapping.naming: `cluster_names`, by the words of prompts
    mapping.projection: `project`, vectors as points of a plane
    plugins.embedders: `Embedder`, `make_embedder`, `unit_vectors`
    pictures.locate: `PictureLocation`, `locate_pictures`, `load_image`
    pictures.parallel: `map_in_threads`, the same work on many pictures
    pictures.contact_sheet: `make_contact_sheet`, `load_reduced_images`
    pictures.diff: `diff_pictures`, two pictures field by field, and `differing_fields`
    pictures.download: `download_pictures`, the files in one folder
    pictures.export: `export_pictures`, with sidecars or as data sets
    pictures.dataset: `DatasetOptions`, what is asked of a data set
    pictures.duplicates: `find_duplicates`, the same file or pictures that look alike;
        `find_alike`, by vectors
    pictures.score: `find_scorer` by name, and `score_pictures`, a number for each
    pictures.signed_urls: `sign_frame`, a URL for each row
"""
