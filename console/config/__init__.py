"""The configuration file, key sets, theme files, plugins of a site, and the least privileges that wacht needs."""
