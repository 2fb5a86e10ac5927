"""DICOM: series of slices in, with their geometry, and outlines of radiotherapy as masks."""
