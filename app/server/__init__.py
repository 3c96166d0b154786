"""The HTTP and WebSocket face: takes that are asked over a network, and the page on top of them."""
