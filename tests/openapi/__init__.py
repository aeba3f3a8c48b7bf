"""The document of every route, and the running gateway held to it by requests nobody would think of."""
