"""AUROC against the share of labelled patients (paper 5, figure 7)."""
