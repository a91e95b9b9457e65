"""HTTP: the session with its retries, authentication, multipart bodies and the base of what has an id."""
