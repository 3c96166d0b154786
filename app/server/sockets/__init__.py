"""Pictures over WebSockets: those of a visitor's camera come in, previews and state go out."""
