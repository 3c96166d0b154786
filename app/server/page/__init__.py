"""The page on a server: mounted, narrowed to what it needs, and what stands behind it."""
