"""Takes on a server: which are open, what each of them watches, and who looks at it."""
