"""`hinterland dicom`, and what `check` and `predict` do with folders of DICOM."""
