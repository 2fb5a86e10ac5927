"""Judge finished classifiers: tables, report, comparison."""
