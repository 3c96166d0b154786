"""Where frames come from: files, pictures, cameras; which are kept; how they are handed over."""
