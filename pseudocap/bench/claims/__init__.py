"""Check whether the papers' claims hold: train and score regimes and ablations cell by cell."""
