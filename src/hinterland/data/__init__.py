"""Cases, reading, integrity, splits, planning, preprocessing, patches, augmentation, phantoms."""
