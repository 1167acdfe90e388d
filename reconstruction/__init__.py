"""From raw data to images, maps and reports; runs from files alone."""
