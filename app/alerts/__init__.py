"""Standing questions about a stream: judged as it is seen, told to whoever wants to know."""
