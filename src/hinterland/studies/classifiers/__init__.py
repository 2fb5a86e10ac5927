"""Image labels: training, prediction and evaluation of classifiers."""
