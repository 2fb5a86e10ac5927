"""Modules that still break a rule of the house, until they are mended; each list only shrinks."""

# import a room that is not below their own
CLIMBING: set[str] = set()

# import our own modules inside functions, outside of the command line and the package's face
LATE: set[str] = {
    "hinterland.classification.model",
    "hinterland.classification.source",
    "hinterland.inference.uncertainty",
    "hinterland.methods.base",
    "hinterland.networks.registry",
    "hinterland.report.runs",
    "hinterland.studies.addition.study",
    "hinterland.studies.confidence",
    "hinterland.studies.confidence_figures",
    "hinterland.studies.demo",
    "hinterland.studies.features",
    "hinterland.studies.noise",
    "hinterland.studies.runner",
    "hinterland.studies.supports.advice",
    "hinterland.studies.supports.own",
    "hinterland.studies.supports.study",
    "hinterland.studies.synthetic.study",
    "hinterland.training.fine_tuning",
    "hinterland.training.run_training",
}

# sets of modules that import one another, sorted
CIRCLES: list[list[str]] = [["hinterland.studies.feature_figures", "hinterland.studies.features"]]

# know Lightning, outside of the room that does
LIGHTNING: set[str] = {"hinterland.classification.trainer"}
