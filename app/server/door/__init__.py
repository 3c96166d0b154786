"""The door: who may come in, how he shows who he is, and the certificate that is shown to him."""
