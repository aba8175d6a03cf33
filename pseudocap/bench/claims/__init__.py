"""Do the papers' claims hold: regimes and ablations, trained and scored cell by cell."""
