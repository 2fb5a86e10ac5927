"""What is fitted on validation cases: rule, calibration, operating point."""
