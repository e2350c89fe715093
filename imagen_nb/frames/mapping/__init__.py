"""Many pictures by their vectors at once: clusters, places on a map, near-duplicates.

Other rooms use:
    clusters: `add_clusters`, `cluster_numbers`: clusters named by the words of prompts
    projection: `project`, what a map of vectors is
    alike: `group_alike`, pictures whose vectors are nearly the same
"""
