"""What answers other programs: the recommender that a bundle opens to."""
