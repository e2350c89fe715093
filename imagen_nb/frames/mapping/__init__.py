"""Many pictures by their vectors at once: clusters, places on a map.

Other rooms use:
    clusters: `add_clusters`, `cluster_numbers`: clusters named by the words of prompts;
        `has_vector`, which rows are vectors
    projection: `project`, what a map of vectors is
"""
