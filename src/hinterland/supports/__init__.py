"""Support labels from elsewhere: masks on disk, models, foreign tools. See docs/auxiliary.md."""
