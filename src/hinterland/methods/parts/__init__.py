"""What several methods are made of: streams, mixtures, teachers, pseudo-labels."""
