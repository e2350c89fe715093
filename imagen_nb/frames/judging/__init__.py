"""What votes say: which picture is better, which pair to ask for next, who agrees.

Other rooms use:
    ranking: `rank`, a frame with strengths by votes; `rank_by`, by stars or a column
    agreement: `measure_agreement`, of votes, ratings, keepers and voters
    duel: `begin_duel`, all votes of a duel and what they tell
    pairs: `next_pair`, the pair that teaches most
    certainty: `certainty` and `is_certain`, of the order of the first ones
"""
