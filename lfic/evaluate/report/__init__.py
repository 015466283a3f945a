"""The report: one HTML page that loads nothing from elsewhere, and its curves as PNG files."""
