"""Where support labels come from: masks on disk, models, and foreign tools."""
